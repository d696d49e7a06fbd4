"""A registered model as a function: rows of a table -> rewards, by the packed path that trained its members.

row --read--> ReadRow: one `Asked` a member --score_read, many at once--> RowScores
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from data_pipeline.encoding.encoder import Encoder, check_length, check_tokens
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError, RecordError, UserError
from data_pipeline.media import Image, load_image
from data_pipeline.records.comparison import Comparison, ImageSlot, Part
from rm_core.ensembles.ensemble import Combined
from rm_core.model_folder.paradigm import paradigm_of
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer
from rm_core.scoring.table_rows import comparison_of
from rm_core.serving.served_model import ServedMember, ServedModel
from rm_core.serving.shared_prompts import Asked, share_prompts

__all__ = ["ReadRow", "RowLimits", "RowScores", "ServedScorer"]

Floats = npt.NDArray[np.float64]
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class RowLimits:
    """What a row may bring that comes from anywhere."""

    responses: int
    images: int
    image_pixels: int
    """That an image decodes to; the model's own limit holds too."""


@dataclass(frozen=True, kw_only=True)
class ReadRow:
    """One row as every member reads it that is asked about it."""

    num_responses: int
    asked: Mapping[str, Asked]
    """Name of the member -> what it is asked."""


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
        media_root: the folder that image paths start from and may not leave; None: images have to come as bytes.
        attention: the kernel by name; sdpa runs everywhere and compiles nothing while a request waits.
        limits: of rows that come from anywhere; None: the model's own alone.

    Raises:
        MissingInput, CorruptData: as `Scorer`.
        RecipeError: this machine cannot run that kernel, or a member reads critiques, which rows don't have.
    """

    def __init__(
        self,
        served: ServedModel,
        folders: Mapping[str, str],
        media_root: str | None,
        *,
        attention: str = "sdpa",
        limits: RowLimits | None = None,
    ) -> None:
        for one in served.members:
            _check_scalar(one.name, folders[one.name])
        self._served = served
        self._media_root = media_root
        self._limits = limits
        self._media = served.members[0].reading.media
        if limits is not None:
            pixels = min(limits.image_pixels, self._media.max_source_pixels)
            self._media = replace(self._media, max_source_pixels=pixels)
        self._budget = PackBudget(tokens=served.token_budget, patches=served.patch_budget)
        self._scorers = {
            one.name: Scorer(folders[one.name], self._budget, attention=attention) for one in served.members
        }
        self._encoders = {
            one.name: Encoder(load_tokenizer(folders[one.name]), one.reading.encode) for one in served.members
        }

    @property
    def sees_images(self) -> bool:
        """Whether any member reads images."""
        return any(not one.text_only for one in self._served.members)

    def score(self, rows: Sequence[Mapping[str, Any]]) -> list[RowScores]:
        """Scores of every row, in order.

        Raises:
            UserError: some rows can't be scored; the message has the numbers, from 0, and the reasons of the first.
        """
        found: list[ReadRow] = []
        bad: list[str] = []
        for number, row in enumerate(rows):
            try:
                found.append(self.read(row, number))
            except RecordError as error:
                bad.append(f"row {number}: {error}")
        _refuse(bad, len(rows))
        return self.score_read(found)

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
        images = [load_image(ref, self._media_root or "/", self._media) for ref in comparison.media]
        asked = {
            one.name: self._asked(one, comparison, images)
            for one in self._served.members
            if not (one.text_only and comparison.media)
        }
        return ReadRow(num_responses=comparison.num_responses, asked=asked)

    def score_read(self, rows: Sequence[ReadRow]) -> list[RowScores]:
        """Scores of rows that this scorer has read, in order; what asks about one prompt is computed together."""
        starts = np.concatenate(([0], np.cumsum([row.num_responses for row in rows]))).astype(np.int64)
        combined = self._combined({one.name: self._rewards(one, rows, starts) for one in self._served.members})
        return [self._row(combined.rewards[a:b], combined.spread[a:b]) for a, b in pairwise(starts)]

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

    def _asked(self, member: ServedMember, comparison: Comparison, images: Sequence[Image]) -> Asked:
        try:
            self._encoders[member.name].check_critiques(comparison)
            encoded = self._encoders[member.name].encode(comparison, images)
            check_tokens(comparison, encoded, labelled=False)
            check_length(encoded, min(member.reading.max_tokens, self._budget.tokens))
        except RecordError as error:
            raise RecordError(error.reason, f"{error.detail} (member {member.name!r})") from error
        prompt = [part for turn in comparison.prompt for part in turn.parts]
        asked = Asked(encoded, (_images(prompt), *(_images(response.parts) for response in comparison.responses)))
        most = max(
            asked.prompt_patches + sum(span.num_patches for span in asked.response_images(place))
            for place in range(comparison.num_responses)
        )
        if most > self._budget.patches:
            raise RecordError(
                "too_large_images", f"{most} vision patches, at most {self._budget.patches} fit into a row"
            )
        return asked

    def _rewards(self, member: ServedMember, rows: Sequence[ReadRow], starts: npt.NDArray[np.int64]) -> Floats:
        """A member's rewards of all responses [R]; NaN for rows that it is not asked about."""
        chosen = [index for index, row in enumerate(rows) if member.name in row.asked]
        rewards = np.full(starts[-1], np.nan)
        shared = share_prompts([rows[index].asked[member.name] for index in chosen], self._budget)
        given = shared.of_asked(self._scorers[member.name].score(shared.rows))
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


def _images(parts: Sequence[Part]) -> int:
    return sum(isinstance(part, ImageSlot) for part in parts)


def _refuse(bad: Sequence[str], num_rows: int) -> None:
    if bad:
        more = f"; and {len(bad) - _SHOWN} more" if len(bad) > _SHOWN else ""
        raise UserError(f"{len(bad)} of {num_rows} rows can't be scored: {'; '.join(bad[:_SHOWN])}{more}")


def _check_scalar(name: str, folder: str) -> None:
    if (paradigm := paradigm_of(folder)) != "scalar":
        raise RecipeError(
            f"model {name!r} is a {paradigm} reward model, and rows that are served have answers alone: serve a scalar "
            "one, or score files by `basereward score` with score.critiques.source=written"
        )
