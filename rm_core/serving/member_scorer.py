"""One served reward model that scores rows packed together: a scalar one, a critic, or a judge that does not reason.

scalar   an answer                                    -> its reward
critic   an answer, and critiques, given or written   -> the mean of the rewards behind them
judge    all answers of the row, two at a time        -> rewards that sum to 0 over the row
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import EncodedComparison, check_length
from data_pipeline.errors import RecordError
from data_pipeline.media import Image
from data_pipeline.records.comparison import Comparison
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.packing.plan import PackBudget
from rm_core.scoring.critic import CriticScorer
from rm_core.scoring.prefix_cache import PrefixCache
from rm_core.scoring.scorer import Scorer, Scores
from rm_core.scoring.tournament import TournamentScorer
from rm_core.serving.member import Member, MemberRow, RowSize, check_patches
from rm_core.serving.served_model import ServedMember
from rm_core.serving.shared_prompts import Asked, prompt_key, share_prompts

__all__ = ["MemberScorer"]

Floats = npt.NDArray[np.float64]


class MemberScorer(Member):
    """Reads rows, writes critiques of them and scores them, by one model.

    Args:
        member, folder, budget: as for `Member`.
        attention: the kernel by name.
        prefixes: where prefixes are found again that earlier calls have computed; None: nowhere.

    Raises:
        MissingInput, CorruptData, RecipeError: as `Scorer`.
    """

    def __init__(
        self, member: ServedMember, folder: str, budget: PackBudget, attention: str,
        prefixes: PrefixCache | None = None,
    ) -> None:  # fmt: skip
        super().__init__(member, folder, budget)
        writing = member.critiques
        self._critic = None
        if writing is not None and writing.source == "written":
            self._critic = CriticScorer(folder, budget, writing, attention=attention)
        self._scorer = Scorer(folder, budget, attention=attention) if self._critic is None else self._critic.scorer
        if prefixes is not None:
            self._scorer.use_prefixes(prefixes, member.name)
        self._writing = member.critiques or CritiquesConfig()
        self._verdicts = member.verdicts or VerdictsConfig()
        self.is_critic = member.reading.encode.critiques == "given"
        self.is_judge = self._scorer.model.judges
        meets = self.is_judge and self._verdicts.pairs == "tournament"
        self._scores: Scores = TournamentScorer(self._scorer) if meets else self._scorer

    @property
    def writes(self) -> bool:
        """Whether it writes critiques where none are given."""
        return self._critic is not None

    def most_written(self, num_responses: int, *, has_critiques: bool) -> int:
        """Tokens of critiques, one by one of each response."""
        writes = self.writes and not has_critiques
        return num_responses * self._writing.number * self._writing.max_tokens if writes else 0

    def write(self, row: MemberRow, until_s: float | None = None) -> MemberRow:
        """A row that is open with the critiques that the model writes; see `Member.write`."""
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
            given = self._scores.score([version.encoded for version in versions])
        else:
            shared = share_prompts(versions, self._budget)
            given = shared.of_asked(self._scorer.score(shared.rows))
        rewards = iter(given)
        return [np.mean([next(rewards) for _ in row.versions], axis=0) for row in rows]

    def size(self, row: MemberRow) -> RowSize:
        """What the row takes of a packed row; of a tournament, asked in rounds, as many questions as it has."""
        [first, *more] = row.versions
        encoded = self._scorer.asked(first.encoded)
        patches = sum(span.num_patches for span in encoded.images)
        own = encoded.num_tokens - len(encoded.prefix_ids)
        if self.is_judge:
            own = own * self._verdicts.num_questions(len(first.encoded.response_ids)) // len(encoded.response_ids)
        return RowSize(
            prompt=id(row) if self.is_judge else prompt_key(first),
            prompt_tokens=len(encoded.prefix_ids),
            prompt_patches=first.prompt_patches,
            tokens=own + sum(one.encoded.num_tokens - len(one.encoded.prefix_ids) for one in more),
            patches=(patches - first.prompt_patches) * len(row.versions),
        )

    def _read(self, comparison: Comparison, images: Sequence[Image], has_critiques: bool) -> MemberRow:
        is_open = self.writes and not has_critiques
        if not is_open:
            self._encoder.check_critiques(comparison)
        asked = self._asked(comparison, images)
        self._check_length(asked.encoded, is_open)
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
        if self.is_judge and (whole := self._together(encoded)) > self._budget.tokens:
            count = len(encoded.response_ids)
            raise RecordError(
                "too_long",
                f"{whole} tokens of {self._at_once(count)} questions about {count} responses, limit "
                f"{self._budget.tokens}: send fewer or shorter responses, or raise serve.token_budget",
            )

    def _at_once(self, num_responses: int) -> int:
        """Questions of a judge that have to fit into one row."""
        return 2 if self._verdicts.pairs == "tournament" else num_responses * (num_responses - 1)

    def _together(self, encoded: EncodedComparison) -> int:
        """Tokens of these questions: of a tournament those about the two longest responses, which may meet."""
        asked = self._scorer.asked(encoded)
        longest = sorted(map(len, asked.response_ids))[-self._at_once(len(encoded.response_ids)) :]
        return len(asked.prefix_ids) + sum(longest)

    def _check_patches(self, asked: Asked) -> None:
        places = range(len(asked.encoded.response_ids))
        most = max(
            asked.prompt_patches + sum(span.num_patches for span in asked.response_images(place)) for place in places
        )
        if self.is_judge:
            most = sum(span.num_patches for span in self._scorer.asked(asked.encoded).images)
        check_patches(most, self._budget)
