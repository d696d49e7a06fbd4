"""A row on its way through a served model: what it may bring, how its members read it, and what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

from data_pipeline.errors import RecordError
from rm_core.scoring.judge import JudgedOnce, Question
from rm_core.serving.member import MemberRow

__all__ = ["ReadRow", "RowLimits", "RowScores", "with_texts"]


@dataclass(frozen=True, kw_only=True)
class RowLimits:
    """What a row may bring that comes from anywhere."""

    responses: int
    images: int
    image_pixels: int
    """That an image decodes to; the model's own limit holds too."""
    written_tokens: int
    """That critics and judges may write of the row, all together."""


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """One row as every member reads it that is asked about it."""

    num_responses: int
    asked: Mapping[str, MemberRow]
    """Name of the member -> what it is asked."""

    @property
    def is_open(self) -> bool:
        """Whether something has to be written before it can be scored."""
        return any(one.is_open for one in self.asked.values())

    @property
    def judged(self) -> dict[str, JudgedOnce]:
        """Name of each judge that has written about it -> what it made of it."""
        return {name: one.judged for name, one in self.asked.items() if one.judged is not None}

    @property
    def written_tokens(self) -> int:
        """Of all that was written."""
        return sum(one.tokens for one in self.asked.values())

    @property
    def unread(self) -> int:
        """Texts of judges without a verdict that can be read."""
        return sum(one.unread for one in self.judged.values())

    @property
    def writing_seconds(self) -> float:
        """That this took."""
        return sum(one.seconds for one in self.asked.values())

    def checked(self) -> Self:
        """The row itself, where every judge that wrote about it gives rewards.

        Raises:
            RecordError: no_verdict: a question of one has no verdict that can be read.
        """
        for name, one in self.judged.items():
            if one.error is not None:
                reason, _, detail = one.error.partition(": ")
                raise RecordError(reason, f"{detail} (member {name!r})")
        return self


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """What one row gets; rewards, spread and critiques have one entry a response."""

    rewards: tuple[float, ...]
    """Higher is better."""
    spread: tuple[float, ...]
    """Standard deviation over the members that read the response."""
    probability: float | None
    """P(the first of two responses is the better one); None where there are not two."""
    critiques: tuple[tuple[str, ...], ...] = ()
    """For each response, what critics wrote of it; empty where nothing was written."""
    critique_tokens: int = 0
    """Tokens of these."""
    verdicts: tuple[Question, ...] = ()
    """What judges that reason were asked and wrote, of each pair in both orders."""
    verdict_tokens: int = 0
    """Tokens of these."""
    verdicts_unread: int = 0
    """Texts of these without a verdict that can be read."""


def with_texts(scores: RowScores, row: ReadRow) -> RowScores:
    """The scores of a row with what was written about it."""
    written = [one.critiques for one in row.asked.values() if one.critiques]
    judged = row.judged.values()
    verdict_tokens = sum(one.tokens for one in judged)
    return replace(
        scores,
        critiques=tuple(tuple(text for texts in of for text in texts) for of in zip(*written, strict=True)),
        critique_tokens=row.written_tokens - verdict_tokens,
        verdicts=tuple(question for one in judged for question in one.questions),
        verdict_tokens=verdict_tokens,
        verdicts_unread=row.unread,
    )
