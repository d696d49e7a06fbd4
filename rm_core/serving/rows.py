"""A row on its way through a served model: what it may bring, how its members read it, and what it gets."""

from collections.abc import Mapping
from dataclasses import dataclass

from rm_core.serving.member_scorer import MemberRow

__all__ = ["ReadRow", "RowLimits", "RowScores"]


@dataclass(frozen=True, kw_only=True)
class RowLimits:
    """What a row may bring that comes from anywhere."""

    responses: int
    images: int
    image_pixels: int
    """That an image decodes to; the model's own limit holds too."""
    written_tokens: int
    """That critics may write of the row, all together."""


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """One row as every member reads it that is asked about it."""

    num_responses: int
    asked: Mapping[str, MemberRow]
    """Name of the member -> what it is asked."""

    @property
    def is_open(self) -> bool:
        """Whether critiques have to be written before it can be scored."""
        return any(one.is_open for one in self.asked.values())

    @property
    def written_tokens(self) -> int:
        """Of all critiques that were written."""
        return sum(one.tokens for one in self.asked.values())

    @property
    def writing_seconds(self) -> float:
        """That this took."""
        return sum(one.seconds for one in self.asked.values())


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """What one row gets; every tuple has one entry a response."""

    rewards: tuple[float, ...]
    """Higher is better."""
    spread: tuple[float, ...]
    """Standard deviation over the members that read the response."""
    probability: float | None
    """P(the first of two responses is the better one); None where there are not two."""
    critiques: tuple[tuple[str, ...], ...] = ()
    """For each response, what critics wrote of it; empty where nothing was written."""
    critique_tokens: int = 0
    """Tokens that were written."""
