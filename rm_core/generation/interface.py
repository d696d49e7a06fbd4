"""What writes: Comparisons whose branches are open -> texts, whatever program samples them."""

import time
from dataclasses import dataclass, replace
from typing import Protocol

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import RunError

__all__ = ["Writer", "WritingTooLong", "Written", "check_time", "opened"]


class WritingTooLong(RunError):
    """Texts were not written in the time that there was."""


@dataclass(frozen=True, slots=True)
class Written:
    """One text.

    Attributes:
        text: without the token that ends it.
        tokens: that were written, with the closing one.
        ended: whether the model ended it; False: it was cut at the most tokens.
    """

    text: str
    tokens: int
    ended: bool


class Writer(Protocol):
    """Writes behind the open branches of Comparisons."""

    def write(
        self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None
    ) -> list[list[Written]]:
        """For each response, texts of what may follow its branch: as many as the writer was made for.

        The same Comparison gives the same texts, whatever was written before.

        Args:
            blank: every image is replaced by a mid-grey one of its size.
            until_s: by `time.monotonic`, when nobody waits for the texts any more; None: somebody always does.

        Raises:
            WritingTooLong: that moment has come.
        """
        ...


def opened(item: EncodedComparison) -> EncodedComparison:
    """The Comparison with its branches cut where the model begins to write.

    Raises:
        ValueError: it does not say where.
    """
    if not item.target_starts:
        raise ValueError(f"Comparison {item.id!r} does not say where a model begins to write")
    cut = [ids[:start] for ids, start in zip(item.response_ids, item.target_starts, strict=True)]
    return replace(item, response_ids=tuple(cut))


def check_time(until_s: float | None) -> None:
    """Raises WritingTooLong where the moment has come."""
    if until_s is not None and time.monotonic() >= until_s:
        raise WritingTooLong("nobody waits for these texts any more: write fewer or shorter ones, or wait longer")
