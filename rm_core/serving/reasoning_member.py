"""A served judge that reasons: it writes about every pair of a row's responses, and its verdicts are counted.

row --read--> open MemberRow --write, ReasoningScorer--> MemberRow with the rewards, or with why there are none

Nothing is left to compute behind the writing. What cannot be read is no verdict: a row with a question of which no text
has one is refused, as a line of `basereward score` is.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import check_length
from data_pipeline.errors import RecordError
from data_pipeline.media import Image
from data_pipeline.records.comparison import Comparison
from rm_core.generation.config import VerdictsConfig
from rm_core.packing.plan import PackBudget
from rm_core.scoring.judge import ReasoningScorer
from rm_core.serving.member import Member, MemberRow, RowSize, check_patches
from rm_core.serving.served_model import ServedMember
from rm_core.serving.shared_prompts import Asked

__all__ = ["ReasoningMember"]

Floats = npt.NDArray[np.float64]


class ReasoningMember(Member):
    """Reads rows and writes about them; see `Member`.

    Raises:
        MissingInput, CorruptData: as `ReasoningScorer`.
    """

    is_judge = True

    def __init__(self, member: ServedMember, folder: str, budget: PackBudget) -> None:
        super().__init__(member, folder, budget)
        self._config = member.verdicts or VerdictsConfig()
        self._judge = ReasoningScorer(folder, self._config, budget.tokens)

    @property
    def writes(self) -> bool:
        """It always does."""
        return True

    def most_written(self, num_responses: int, *, has_critiques: bool) -> int:  # noqa: ARG002  # they are not for it
        """Tokens of texts about each pair in both orders."""
        return self._config.num_questions(num_responses) * self._config.number * self._config.max_tokens

    def write(self, row: MemberRow, until_s: float | None = None) -> MemberRow:
        """The row with its texts and what they say; see `Member.write`."""
        if not row.is_open:
            return row
        [asked] = row.versions
        found = self._judge.made(asked.encoded, until_s=until_s)
        return replace(row, is_open=False, judged=found, tokens=found.tokens, seconds=found.seconds)

    def score(self, rows: Sequence[MemberRow]) -> list[Floats]:
        """Rewards [K] of each row, which were known when it was written about."""
        given = []
        for row in rows:
            assert row.judged is not None and row.judged.rewards is not None, "whoever writes refuses the others"
            given.append(np.array(row.judged.rewards))
        return given

    def size(self, row: MemberRow) -> RowSize:
        """The row's own tokens: questions were computed as they were written about."""
        [asked] = row.versions
        encoded = asked.encoded
        prompt = len(encoded.prefix_ids)
        return RowSize(
            prompt=id(row), prompt_tokens=prompt, prompt_patches=0, tokens=encoded.num_tokens - prompt, patches=0
        )

    def _read(self, comparison: Comparison, images: Sequence[Image], has_critiques: bool) -> MemberRow:  # noqa: ARG002
        asked = self._asked(comparison, images)
        check_length(asked.encoded, self._max_tokens)
        if (most := self._judge.longest(asked.encoded) + self._config.max_tokens) > self._budget.tokens:
            raise RecordError(
                "too_long",
                f"{most} tokens of prompt, a question about two responses and a text of {self._config.max_tokens}, "
                f"limit {self._budget.tokens}",
            )
        check_patches(_patches(asked), self._budget)
        return MemberRow(versions=(asked,), is_open=True)


def _patches(asked: Asked) -> int:
    """Of the prompt and of the two responses that have most: the largest question."""
    places = range(len(asked.encoded.response_ids))
    own = sorted(sum(span.num_patches for span in asked.response_images(place)) for place in places)
    return asked.prompt_patches + sum(own[-2:])
