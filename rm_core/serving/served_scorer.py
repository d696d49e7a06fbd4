"""A registered model as a function: rows of a table -> rewards, by the packed path that trained its members.

row --read--> ReadRow: a `MemberRow` a member --write, where one has to--> --score_read, many at once--> RowScores
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from data_pipeline.errors import RecordError, UserError
from data_pipeline.media import load_image
from data_pipeline.records.comparison import Comparison
from rm_core.ensembles.ensemble import Combined
from rm_core.model_folder.paradigm import reasons
from rm_core.packing.plan import PackBudget
from rm_core.scoring.prefix_cache import PrefixCache
from rm_core.scoring.table_rows import comparison_of
from rm_core.serving.member import Member, RowSize
from rm_core.serving.member_scorer import MemberScorer
from rm_core.serving.reasoning_member import ReasoningMember
from rm_core.serving.rows import ReadRow, RowLimits, RowScores, with_texts
from rm_core.serving.served_model import ServedMember, ServedModel
from rm_core.serving.writing_checks import check_given, check_written

__all__ = ["ServedScorer"]

Floats = npt.NDArray[np.float64]
Given = TypeVar("Given")
_SHOWN = 5


class ServedScorer:
    """Scores rows with all members, each on what it reads. A row's result does not depend on the others.

    Args:
        served: what the model is made of.
        folders: member's name -> its model folder on this machine.
        media_root: the folder that image paths start from and may not leave; None: images have to come as bytes.
        attention: the kernel by name; sdpa runs everywhere and compiles nothing while a request waits.
        limits: of rows that come from anywhere; None: the model's own alone.
        prefix_bytes: that keys and values of prompts may take, which are then not computed again for other responses;
            0: each prompt is computed in each call.

    Raises:
        MissingInput, CorruptData: as `Scorer`.
        RecipeError: this machine cannot run that kernel.
    """

    def __init__(
        self,
        served: ServedModel,
        folders: Mapping[str, str],
        media_root: str | None,
        *,
        attention: str = "sdpa",
        limits: RowLimits | None = None,
        prefix_bytes: int = 0,
    ) -> None:
        self._served = served
        self._media_root = media_root
        self._limits = limits
        self._media = served.members[0].reading.media
        if limits is not None:
            pixels = min(limits.image_pixels, self._media.max_source_pixels)
            self._media = replace(self._media, max_source_pixels=pixels)
        budget = PackBudget(tokens=served.token_budget, patches=served.patch_budget)
        self._prefixes = PrefixCache(prefix_bytes) if prefix_bytes else None
        self._scorers: dict[str, Member] = {
            one.name: _member(one, folders[one.name], budget, attention, self._prefixes) for one in served.members
        }

    @property
    def cached_tokens(self) -> int:
        """Of prompts that were not computed again, since this scorer was made."""
        return 0 if self._prefixes is None else self._prefixes.tokens_found

    @property
    def sees_images(self) -> bool:
        """Whether any member reads images."""
        return any(not one.text_only for one in self._served.members)

    @property
    def compares(self) -> bool:
        """Whether a member is a judge: then rewards are of answers that are sent together, two at least."""
        return any(one.is_judge for one in self._scorers.values())

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[RowScores]:
        """Scores of every row, in order.

        Raises:
            UserError: some rows can't be scored; the message has the numbers, from 0, and the reasons of the first.
        """
        read = _each(rows, self.read)
        return self.score_read(_each(read, lambda row, _: self.write(row).checked()))

    def warm_up(self) -> None:
        """Score once: kernels are compiled then, and not while a request waits. Nothing is written."""
        row = {"prompt": "Is it warm?", "responses": ["Yes.", "It is."], "critiques": ["Good.", "It is good."]}
        for name, one in self._read(comparison_of(row, 0, "/"), has_critiques=True).asked.items():
            if not one.is_open:
                self._scorers[name].score([one])

    def read(self, row: Mapping[str, Any], number: int = 0) -> ReadRow:
        """A row with its images decoded and its texts as tokens; several threads may read at once.

        Args:
            row: as `table_rows` says.
            number: of the row, for messages.

        Raises:
            RecordError: it can't be scored.
        """
        comparison = comparison_of(row, number, self._media_root or "/")
        self._check(comparison)
        has_critiques = any(response.critique is not None for response in comparison.responses)
        members = list(self._asked_about(comparison).values())
        check_given(members, has_critiques=has_critiques, of_ensemble=self._served.ensemble is not None)
        if self._limits is not None:
            check_written(members, comparison.num_responses, self._limits.written_tokens, has_critiques=has_critiques)
        return self._read(comparison, has_critiques)

    def write(self, row: ReadRow, until_s: float | None = None) -> ReadRow:
        """A row with what critics and judges write of it, which `ReadRow.checked` looks at; one that is not open as it
        is.

        Raises:
            RecordError: too_long: a critique does not fit behind its answer.
            WritingTooLong: it is `until_s`, by `time.monotonic`.
        """
        asked = {name: self._scorers[name].write(one, until_s) for name, one in row.asked.items()}
        return replace(row, asked=asked)

    def size(self, row: ReadRow) -> RowSize:
        """What the row takes of a packed row, as the member that has most tokens of it reads it."""
        sizes = [self._scorers[name].size(one) for name, one in row.asked.items()]
        return max(sizes, key=lambda one: one.prompt_tokens + one.tokens)

    def score_read(self, rows: Sequence[ReadRow]) -> list[RowScores]:
        """Scores of rows that this scorer has read, none of which is open, and which `ReadRow.checked` lets pass."""
        starts = np.concatenate(([0], np.cumsum([row.num_responses for row in rows]))).astype(np.int64)
        combined = self._combined({name: self._rewards(name, rows, starts) for name in self._scorers})
        scores = [self._row(combined.rewards[a:b], combined.spread[a:b]) for a, b in pairwise(starts)]
        return [with_texts(one, row) for one, row in zip(scores, rows, strict=True)]

    def _read(self, comparison: Comparison, has_critiques: bool) -> ReadRow:
        images = [load_image(ref, self._media_root or "/", self._media) for ref in comparison.media]
        asked = {
            name: one.read(comparison, images, has_critiques=has_critiques)
            for name, one in self._asked_about(comparison).items()
        }
        return ReadRow(num_responses=comparison.num_responses, asked=asked)

    def _asked_about(self, comparison: Comparison) -> dict[str, Member]:
        """The members that read it."""
        return {name: one for name, one in self._scorers.items() if not (one.text_only and comparison.media)}

    def _check(self, comparison: Comparison) -> None:
        """What needs no look into an image.

        Raises:
            RecordError: no_reader, too_many_responses, too_many_images, unsafe_path.
        """
        if comparison.media and not self.sees_images:
            raise RecordError("no_reader", "it has images, and every member reads text alone")
        if self._media_root is None and any(ref.data is None for ref in comparison.media):
            raise RecordError("unsafe_path", "an image has to come as a base64 data URL: no path or address is read")
        if self._limits is None:
            return
        for name, count, most in (
            ("responses", comparison.num_responses, self._limits.responses),
            ("images", len(comparison.media), self._limits.images),
        ):
            if count > most:
                raise RecordError(f"too_many_{name}", f"{count} {name}, at most {most} are taken at once")

    def _rewards(self, name: str, rows: Sequence[ReadRow], starts: npt.NDArray[np.int64]) -> Floats:
        """A member's rewards of all responses [R]; NaN for rows that it is not asked about."""
        chosen = [index for index, row in enumerate(rows) if name in row.asked]
        rewards = np.full(starts[-1], np.nan)
        given = self._scorers[name].score([rows[index].asked[name] for index in chosen])
        for index, found in zip(chosen, given, strict=True):
            rewards[starts[index] : starts[index + 1]] = found
        return rewards

    def _combined(self, rewards: Mapping[str, Floats]) -> Combined:
        if self._served.ensemble is not None:
            return self._served.ensemble.combine(rewards)
        [only] = rewards.values()
        return Combined(rewards=only, spread=np.zeros_like(only), num_members=np.ones(len(only), dtype=np.int64))

    def _row(self, rewards: Floats, spread: Floats) -> RowScores:
        temperature = 1.0 if self._served.ensemble is None else self._served.ensemble.temperature
        probability = float(expit((rewards[0] - rewards[1]) / temperature)) if len(rewards) == 2 else None
        return RowScores(rewards=tuple(rewards.tolist()), spread=tuple(spread.tolist()), probability=probability)


def _member(
    member: ServedMember, folder: str, budget: PackBudget, attention: str, prefixes: PrefixCache | None
) -> Member:
    if reasons(folder):
        return ReasoningMember(member, folder, budget)
    return MemberScorer(member, folder, budget, attention, prefixes)


def _each(items: Sequence[Given], do: Callable[[Given, int], ReadRow]) -> list[ReadRow]:
    """What becomes of every item, with its number; where some fail, all is refused with what the first ones lack."""
    found: list[ReadRow] = []
    bad: list[str] = []
    for number, item in enumerate(items):
        try:
            found.append(do(item, number))
        except RecordError as error:
            bad.append(f"row {number}: {error}")
    if bad:
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise UserError(f"{len(bad)} of {len(items)} rows can't be scored: {'; '.join(bad[:_SHOWN])}{more}")
    return found
