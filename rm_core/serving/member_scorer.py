"""One served reward model of any paradigm: what it is asked about a row, what it writes, and its rewards.

scalar   an answer                                    -> its reward
critic   an answer, and critiques, given or written   -> the mean of the rewards behind them
judge    all answers of the row, two at a time        -> rewards that sum to 0 over the row
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length, check_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecordError
from data_pipeline.media import Image
from data_pipeline.records.comparison import Comparison, ImageSlot, Part
from rm_core.generation.config import CritiquesConfig
from rm_core.packing.plan import PackBudget
from rm_core.scoring.critic import CriticScorer
from rm_core.scoring.prefix_cache import PrefixCache
from rm_core.scoring.scorer import Scorer
from rm_core.serving.served_model import ServedMember
from rm_core.serving.shared_prompts import Asked, prompt_key, share_prompts

__all__ = ["MemberRow", "MemberScorer", "RowSize"]

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
        is_open: critiques have to be written first; then there is one version, without any.
        critiques: for each response, those that were written of it.
        tokens: that were written.
        seconds: that writing took.
    """

    versions: tuple[Asked, ...]
    is_open: bool = False
    critiques: tuple[tuple[str, ...], ...] = ()
    tokens: int = 0
    seconds: float = 0.0


class MemberScorer:
    """Reads rows, writes critiques of them and scores them, by one model.

    Args:
        member: the model, which reads records as it says.
        folder: its files on this machine.
        budget: what one packed row may hold.
        attention: the kernel by name.
        prefixes: where prefixes are found again that earlier calls have computed; None: nowhere.

    Raises:
        MissingInput, CorruptData, RecipeError: as `Scorer`.
    """

    def __init__(
        self, member: ServedMember, folder: str, budget: PackBudget, attention: str,
        prefixes: PrefixCache | None = None,
    ) -> None:  # fmt: skip
        writing = member.critiques
        self.name, self.text_only = member.name, member.text_only
        self._critic = None
        if writing is not None and writing.source == "written":
            self._critic = CriticScorer(folder, budget, writing, attention=attention)
        self._scorer = Scorer(folder, budget, attention=attention) if self._critic is None else self._critic.scorer
        if prefixes is not None:
            self._scorer.use_prefixes(prefixes, member.name)
        self._writing = member.critiques or CritiquesConfig()
        self._encoder = Encoder(load_tokenizer(folder), member.reading.encode)
        self._budget = budget
        self._max_tokens = min(member.reading.max_tokens, budget.tokens)
        self.is_critic = member.reading.encode.critiques == "given"
        self.is_judge = self._scorer.model.judges

    @property
    def writes(self) -> bool:
        """Whether it writes critiques where none are given."""
        return self._critic is not None

    def most_written(self, num_responses: int) -> int:
        """Tokens that it may write of so many responses."""
        return num_responses * self._writing.number * self._writing.max_tokens if self.writes else 0

    def read(self, comparison: Comparison, images: Sequence[Image], *, has_critiques: bool) -> MemberRow:
        """A row with its texts as tokens; several threads may read at once.

        Raises:
            RecordError: it can't be scored by this model; the detail has the model's name.
        """
        try:
            return self._read(comparison, images, has_critiques)
        except RecordError as error:
            raise RecordError(error.reason, f"{error.detail} (member {self.name!r})") from error

    def write(self, row: MemberRow, until_s: float | None = None) -> MemberRow:
        """A row that is open with the critiques that the model writes; another one as it is.

        Raises:
            RecordError: too_long: a critique does not fit behind its answer.
            WritingTooLong: it is `until_s`, by `time.monotonic`.
        """
        if not row.is_open:
            return row
        assert self._critic is not None, "only those are open that it can write of"
        [asked] = row.versions
        found = self._critic.write(asked.encoded, until_s=until_s)
        for version in found.versions:
            check_length(version, self._budget.tokens)
        versions = tuple(replace(asked, encoded=version) for version in found.versions)
        return MemberRow(versions=versions, critiques=found.texts, tokens=found.tokens, seconds=found.seconds)

    def score(self, rows: Sequence[MemberRow]) -> list[Floats]:
        """Rewards [K] of each row; what asks about one prompt is computed together, but by a judge."""
        versions = [version for row in rows for version in row.versions]
        if self.is_judge:  # its rewards are of answers that stand together: none may come in, and none go away
            given = self._scorer.score([version.encoded for version in versions])
        else:
            shared = share_prompts(versions, self._budget)
            given = shared.of_asked(self._scorer.score(shared.rows))
        rewards = iter(given)
        return [np.mean([next(rewards) for _ in row.versions], axis=0) for row in rows]

    def size(self, row: MemberRow) -> RowSize:
        """What the row takes of a packed row."""
        [first, *more] = row.versions
        encoded = self._scorer.asked(first.encoded)
        patches = sum(span.num_patches for span in encoded.images)
        own = encoded.num_tokens - len(encoded.prefix_ids)
        return RowSize(
            prompt=id(row) if self.is_judge else prompt_key(first),
            prompt_tokens=len(encoded.prefix_ids),
            prompt_patches=first.prompt_patches,
            tokens=own + sum(one.encoded.num_tokens - len(one.encoded.prefix_ids) for one in more),
            patches=(patches - first.prompt_patches) * len(row.versions),
        )

    def _read(self, comparison: Comparison, images: Sequence[Image], has_critiques: bool) -> MemberRow:
        is_open = self.writes and not has_critiques
        if self.is_judge and comparison.num_responses < 2:
            raise RecordError(
                "one_response",
                "a generative reward model compares answers, and there is one to this prompt: send two or more in one "
                "request, or ask a scalar reward model",
            )
        if not is_open:
            self._encoder.check_critiques(comparison)
        encoded = self._encoder.encode(comparison, images)
        check_tokens(comparison, encoded, labelled=False)
        self._check_length(encoded, is_open)
        prompt = [part for turn in comparison.prompt for part in turn.parts]
        asked = Asked(encoded, (_images(prompt), *(_images(response.parts) for response in comparison.responses)))
        self._check_patches(asked)
        return MemberRow(versions=(asked,), is_open=is_open)

    def _check_length(self, encoded: EncodedComparison, is_open: bool) -> None:
        check_length(encoded, self._max_tokens)
        if is_open and (most := encoded.length + self._writing.max_tokens) > self._budget.tokens:
            raise RecordError(
                "too_long",
                f"{most} tokens of prompt, longest response and a critique of {self._writing.max_tokens}, limit "
                f"{self._budget.tokens}",
            )
        if self.is_judge and (whole := self._scorer.asked(encoded).num_tokens) > self._budget.tokens:
            count = len(encoded.response_ids)
            raise RecordError(
                "too_long",
                f"{whole} tokens of {count * (count - 1)} questions about {count} responses, limit "
                f"{self._budget.tokens}: send fewer or shorter responses, or raise serve.token_budget",
            )

    def _check_patches(self, asked: Asked) -> None:
        places = range(len(asked.encoded.response_ids))
        most = max(
            asked.prompt_patches + sum(span.num_patches for span in asked.response_images(place)) for place in places
        )
        if self.is_judge:
            most = sum(span.num_patches for span in self._scorer.asked(asked.encoded).images)
        if most > self._budget.patches:
            raise RecordError(
                "too_large_images", f"{most} vision patches, at most {self._budget.patches} fit into a row"
            )


def _images(parts: Sequence[Part]) -> int:
    return sum(isinstance(part, ImageSlot) for part in parts)
