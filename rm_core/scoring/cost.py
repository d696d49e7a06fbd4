"""What rewards cost: tokens that were written for them, and seconds of one process, an item.

Of models of every paradigm, so that they stand in one table: one that writes costs far more than one that reads.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import CorruptData
from rm_core.scoring.scorer import Scores

__all__ = ["ScoringCost", "TimedScores"]


class TimedScores:
    """Scores that count the seconds they take, without those of blanked images: these are a probe, not the answer.

    Attributes:
        seconds: so far, without loading the model.
    """

    def __init__(self, scores: Scores) -> None:
        self._scores = scores
        self.seconds = 0.0

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        """As of the scores that are counted."""
        began_s = time.perf_counter()
        found = self._scores.score(comparisons, blank=blank)
        if not blank:
            self.seconds += time.perf_counter() - began_s
        return found


@dataclass(frozen=True, kw_only=True)
class ScoringCost:
    """What the rewards of a split came to.

    Attributes:
        items: Comparisons.
        written_tokens: for all of them; 0 of a model that writes nothing.
        seconds: of one process, that writing and scoring took.
    """

    items: int
    written_tokens: int
    seconds: float

    def numbers(self) -> dict[str, float]:
        """An item, for MLflow and for points of sweeps."""
        items = max(1, self.items)
        return {"written_tokens": self.written_tokens / items, "item_seconds": self.seconds / items}

    def to_json(self) -> dict[str, Any]:
        """As numbers by name."""
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any], url: str) -> "ScoringCost":
        """What `to_json` gave; `url` is for messages.

        Raises:
            CorruptData: it is something else.
        """
        try:
            return cls(**content)
        except TypeError as error:
            raise CorruptData(f"{url!r} holds no cost of an evaluation ({error}): evaluate again") from error
