"""What one served reward model does, of whatever paradigm: reads rows, writes about them where it has to, scores them.

row --read--> MemberRow, perhaps open --write--> MemberRow with what was written --score--> rewards [K]
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import Encoder, check_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecordError
from data_pipeline.media import Image
from data_pipeline.records.comparison import Comparison, ImageSlot, Part
from rm_core.packing.plan import PackBudget
from rm_core.scoring.judge import JudgedOnce
from rm_core.serving.served_model import ServedMember
from rm_core.serving.shared_prompts import Asked

__all__ = ["Member", "MemberRow", "RowSize", "check_patches"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class RowSize:
    """What a member computes for a row; `prompt` is the same where two rows are computed with one prompt."""

    prompt: Hashable
    prompt_tokens: int
    prompt_patches: int
    tokens: int
    patches: int


@dataclass(frozen=True, kw_only=True)
class MemberRow:
    """A row as one member reads it.

    Attributes:
        versions: of which the mean reward counts: one for each critique that was written of an answer, else one.
        is_open: something has to be written first; then there is one version, without it.
        critiques: for each response, those that were written of it.
        judged: what a judge that reasons made of it.
        tokens: that were written.
        seconds: that writing took.
    """

    versions: tuple[Asked, ...]
    is_open: bool = False
    critiques: tuple[tuple[str, ...], ...] = ()
    judged: JudgedOnce | None = None
    tokens: int = 0
    seconds: float = 0.0


class Member(ABC):
    """One served reward model.

    Attributes:
        name: in the ensemble.
        text_only: it is asked about rows without images alone.
        is_critic: critiques that come with a row are for it.
        is_judge: it compares the responses of a row, two at least.

    Args:
        member: the model, which reads records as it says.
        folder: its files on this machine.
        budget: what one packed row may hold.
    """

    is_critic = False
    is_judge = False

    def __init__(self, member: ServedMember, folder: str, budget: PackBudget) -> None:
        self.name, self.text_only = member.name, member.text_only
        self._encoder = Encoder(load_tokenizer(folder), member.reading.encode)
        self._budget = budget
        self._max_tokens = min(member.reading.max_tokens, budget.tokens)

    @property
    @abstractmethod
    def writes(self) -> bool:
        """Whether it writes where nothing is given."""

    @abstractmethod
    def most_written(self, num_responses: int, *, has_critiques: bool) -> int:
        """Tokens that it may write of so many responses, which bring critiques or not."""

    def read(self, comparison: Comparison, images: Sequence[Image], *, has_critiques: bool) -> MemberRow:
        """A row with its texts as tokens; several threads may read at once.

        Raises:
            RecordError: it can't be scored by this model; the detail has the model's name.
        """
        try:
            if self.is_judge:
                _check_several(comparison)
            return self._read(comparison, images, has_critiques)
        except RecordError as error:
            raise RecordError(error.reason, f"{error.detail} (member {self.name!r})") from error

    @abstractmethod
    def write(self, row: MemberRow, until_s: float | None = None) -> MemberRow:
        """A row that is open with what the model writes; another one as it is.

        Raises:
            RecordError: too_long: what is written does not fit behind its answer.
            WritingTooLong: it is `until_s`, by `time.monotonic`.
        """

    @abstractmethod
    def score(self, rows: Sequence[MemberRow]) -> list[Floats]:
        """Rewards [K] of each row; none of them is open."""

    @abstractmethod
    def size(self, row: MemberRow) -> RowSize:
        """What the row takes of a packed row."""

    @abstractmethod
    def _read(self, comparison: Comparison, images: Sequence[Image], has_critiques: bool) -> MemberRow: ...

    def _asked(self, comparison: Comparison, images: Sequence[Image]) -> Asked:
        """Its tokens, with where its images stand."""
        encoded = self._encoder.encode(comparison, images)
        check_tokens(comparison, encoded, labelled=False)
        prompt = [part for turn in comparison.prompt for part in turn.parts]
        return Asked(encoded, (_images(prompt), *(_images(response.parts) for response in comparison.responses)))


def check_patches(patches: int, budget: PackBudget) -> None:
    """Raises RecordError, too_large_images, where a packed row does not hold so many vision patches."""
    if patches > budget.patches:
        raise RecordError("too_large_images", f"{patches} vision patches, at most {budget.patches} fit into a row")


def _check_several(comparison: Comparison) -> None:
    if comparison.num_responses < 2:
        raise RecordError(
            "one_response",
            "a generative reward model compares answers, and there is one to this prompt: send two or more in one "
            "request, or ask a scalar reward model",
        )


def _images(parts: Sequence[Part]) -> int:
    return sum(isinstance(part, ImageSlot) for part in parts)
