"""A registered model as a function: rows of a table -> rewards, by the packed path that trained its members."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length, check_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecordError, UserError
from data_pipeline.media import Image, load_image
from data_pipeline.records.comparison import Comparison
from rm_core.ensembles.ensemble import Combined
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer
from rm_core.scoring.table_rows import comparison_of
from rm_core.serving.served_model import ServedMember, ServedModel

__all__ = ["RowScores", "ServedScorer"]

Floats = npt.NDArray[np.float64]
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RowScores:
    """What one row gets; every tuple has one entry a response."""

    rewards: tuple[float, ...]
    """Higher is better."""
    spread: tuple[float, ...]
    """Standard deviation over the members that read the response."""
    probability: float | None
    """P(the first of two responses is the better one); None where there are not two."""


class ServedScorer:
    """Scores rows with all members, each on what it reads. A row's result does not depend on the others.

    Args:
        served: what the model is made of.
        folders: member's name -> its model folder on this machine.
        media_root: the folder that image paths start from and may not leave.

    Raises:
        MissingInput, CorruptData: as `Scorer`.
    """

    def __init__(self, served: ServedModel, folders: Mapping[str, str], media_root: str) -> None:
        self._served = served
        self._media_root = media_root
        budget = PackBudget(tokens=served.token_budget, patches=served.patch_budget)
        # The one kernel that runs everywhere and compiles nothing while a request waits.
        self._scorers = {one.name: Scorer(folders[one.name], budget, attention="sdpa") for one in served.members}
        self._encoders = {
            one.name: Encoder(load_tokenizer(folders[one.name]), one.reading.encode) for one in served.members
        }
        self._sees_images = any(not one.text_only for one in served.members)

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[RowScores]:
        """Scores of every row, in order.

        Raises:
            UserError: some rows can't be scored; the message has the numbers, from 0, and the reasons of the first.
        """
        read = self._read(rows)
        sizes = [comparison.num_responses for comparison, _ in read]
        starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
        rewards = {one.name: self._rewards(one, read, starts) for one in self._served.members}
        combined = self._combined(rewards)
        return [self._row(combined.rewards[a:b], combined.spread[a:b]) for a, b in pairwise(starts)]

    def _read(self, rows: Sequence[Mapping[str, Any]]) -> list[tuple[Comparison, list[Image]]]:
        """Every row with its images, which are read once for all members."""
        media = self._served.members[0].reading.media
        found: list[tuple[Comparison, list[Image]]] = []
        bad: list[str] = []
        for number, row in enumerate(rows):
            try:
                comparison = comparison_of(row, number, self._media_root)
                if comparison.media and not self._sees_images:
                    raise RecordError("no_reader", "it has images, and every member reads text alone")
                images = [load_image(ref, self._media_root, media) for ref in comparison.media]
                found.append((comparison, images))
            except RecordError as error:
                bad.append(f"row {number}: {error}")
        _refuse(bad, len(rows))
        return found

    def _rewards(
        self, member: ServedMember, read: Sequence[tuple[Comparison, list[Image]]], starts: npt.NDArray[np.int64]
    ) -> Floats:
        """A member's rewards of all responses [R]; NaN for rows with images where it reads text alone."""
        asked = [index for index, (one, _) in enumerate(read) if not (member.text_only and one.media)]
        rewards = np.full(starts[-1], np.nan)
        items = self._encoded(member, [(index, *read[index]) for index in asked])
        for index, given in zip(asked, self._scorers[member.name].score(items), strict=True):
            rewards[starts[index] : starts[index + 1]] = given
        return rewards

    def _encoded(
        self, member: ServedMember, items: Sequence[tuple[int, Comparison, list[Image]]]
    ) -> list[EncodedComparison]:
        found: list[EncodedComparison] = []
        bad: list[str] = []
        for number, comparison, images in items:
            try:
                encoded = self._encoders[member.name].encode(comparison, images)
                check_tokens(comparison, encoded, labelled=False)
                check_length(encoded, member.reading.max_tokens)
                found.append(encoded)
            except RecordError as error:
                bad.append(f"row {number}: {error} (member {member.name!r})")
        _refuse(bad, len(items))
        return found

    def _combined(self, rewards: Mapping[str, Floats]) -> Combined:
        if self._served.ensemble is not None:
            return self._served.ensemble.combine(rewards)
        [only] = rewards.values()
        return Combined(rewards=only, spread=np.zeros_like(only), num_members=np.ones(len(only), dtype=np.int64))

    def _row(self, rewards: Floats, spread: Floats) -> RowScores:
        temperature = 1.0 if self._served.ensemble is None else self._served.ensemble.temperature
        probability = float(expit((rewards[0] - rewards[1]) / temperature)) if len(rewards) == 2 else None
        return RowScores(rewards=tuple(rewards.tolist()), spread=tuple(spread.tolist()), probability=probability)


def _refuse(bad: Sequence[str], num_rows: int) -> None:
    if bad:
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise UserError(f"{len(bad)} of {num_rows} rows can't be scored: {'; '.join(bad[:_SHOWN])}{more}")
