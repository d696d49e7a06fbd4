"""What writes: Comparisons whose branches are open -> texts, whatever program samples them."""

import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import RunError

__all__ = ["END", "Writer", "WritingTooLong", "Written", "check_time", "forbidden", "opened", "seed_of", "written_of"]

END = "<|im_end|>"
"""The token that ends what is written."""


class WritingTooLong(RunError):
    """Texts were not written in the time that there was."""

    def __init__(
        self, message: str = "nobody waits for these texts any more: write fewer or shorter ones, or wait longer"
    ) -> None:
        super().__init__(message)


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
        raise WritingTooLong


def forbidden(tokenizer: ChatTokenizer, vocabulary: int) -> list[int]:
    """Tokens that are never written: special ones but the closing one, and those that the tokenizer does not know.

    Args:
        vocabulary: rows of the language head, which may be more than the tokenizer has.
    """
    special = {*tokenizer.special_ids.values(), tokenizer.image_token, tokenizer.video_token}
    return sorted((special | set(range(tokenizer.vocab_size, vocabulary))) - {tokenizer.special_ids[END]})


def seed_of(seed: int, parts: Iterable[npt.NDArray[np.int32]]) -> int:
    """Of tokens, so that what is written about them does not depend on what else is written."""
    for ids in parts:
        seed = zlib.crc32(ids.tobytes(), seed & 0xFFFFFFFF)
    return seed


def written_of(ids: Sequence[int], tokenizer: ChatTokenizer) -> Written:
    """The text of tokens that a model wrote, up to the closing one, behind which others may stand."""
    end = tokenizer.special_ids[END]
    ended = end in ids
    text = ids[: ids.index(end)] if ended else ids
    return Written(text=tokenizer.decode(text), tokens=len(text) + ended, ended=ended)
