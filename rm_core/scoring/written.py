"""What models that write before they score have in common: critics, and judges that reason.

Comparison -> texts that the model writes -> `Made`: rewards, and what was written, for the lines that are kept
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from data_pipeline.encoding.encoder import EncodedComparison

__all__ = ["Made", "WritingScorer", "WrittenRow"]


class Made(Protocol):
    """What a model made of one Comparison."""

    @property
    def rewards(self) -> tuple[float, ...] | None:
        """One a response; None: what was written gives none."""
        ...

    @property
    def error(self) -> str | None:
        """Why there are no rewards, behind a word to count by."""
        ...

    def fields(self) -> dict[str, Any]:
        """What a line of JSON says of it beside the rewards."""
        ...


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """What a model made of a row of prepared data; `blank_rewards` as for `ScoredComparison`."""

    id: str
    source: str
    made: Made
    blank_rewards: tuple[float, ...] | None


class WritingScorer(ABC):
    """As `Scorer`, of a model that writes first."""

    @abstractmethod
    def made(self, item: EncodedComparison, *, blank: bool = False) -> Made:
        """What it makes of one Comparison; `blank`: of grey pictures, which it also writes about."""

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        """K rewards for each Comparison, in the given order; all 0, which is wrong of every pair, where it gives none.

        Args:
            blank: as for `Scorer`, also for what is written.
        """
        return [_rewards(self.made(item, blank=blank), item) for item in comparisons]

    def rows(self, items: Iterable[EncodedComparison], *, blank_images: bool) -> list[WrittenRow]:
        """Rows of prepared data, those with images also with their images blanked out where that is asked for."""
        found = []
        for item in items:
            blank = self.score([item], blank=True)[0] if blank_images and item.images else None
            found.append(WrittenRow(item.id, item.source, self.made(item), blank))
        return found


def _rewards(made: Made, item: EncodedComparison) -> tuple[float, ...]:
    return (0.0,) * len(item.response_ids) if made.rewards is None else made.rewards
