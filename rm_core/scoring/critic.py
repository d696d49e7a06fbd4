"""A critic that writes its own critiques: n of each answer, a reward behind each, and their mean.

    Comparison -> its branches cut where the model begins to write -> `Writer` -> n texts a branch
      -> n Comparisons with a critique behind every answer -> `Scorer` -> rewards [n, K] -> mean [K]

What is scored is the text, encoded as a given critique is: scoring it again as one gives the same reward.
"""

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError
from rm_core.generation.config import CritiquesConfig
from rm_core.generation.interface import Writer, Written, opened
from rm_core.generation.transformers_writer import TransformersWriter
from rm_core.generation.vllm_writer import VllmWriter
from rm_core.model_folder.paradigm import paradigm_of
from rm_core.model_folder.reading import reading_of
from rm_core.model_folder.remote import local_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer

__all__ = ["CriticScorer", "Critiqued", "CritiquedRow", "Critiques", "check_writer", "scorer_of"]


@dataclass(frozen=True, slots=True)
class Critiqued:
    """What a critic made of one Comparison.

    Attributes:
        rewards: one a response, the mean over its critiques.
        critiques: for each response, what was written of it.
        tokens: that were written, all together.
        cut: critiques that did not end by themselves.
        seconds: that writing took.
        scoring_seconds: that scoring took, behind it.
    """

    rewards: tuple[float, ...]
    critiques: tuple[tuple[str, ...], ...]
    tokens: int
    cut: int
    seconds: float
    scoring_seconds: float = 0.0

    def fields(self) -> dict[str, Any]:
        """What a line of JSON says of it beside the rewards."""
        return {
            "critiques": [list(texts) for texts in self.critiques],
            "critique_tokens": self.tokens,
            "critiques_cut": self.cut,
            "critique_seconds": round(self.seconds, 4),
            "scoring_seconds": round(self.scoring_seconds, 4),
        }


@dataclass(frozen=True, slots=True)
class CritiquedRow:
    """What a critic made of a row of prepared data; `blank_rewards` as for `ScoredComparison`."""

    id: str
    source: str
    critiqued: Critiqued
    blank_rewards: tuple[float, ...] | None


@dataclass(frozen=True, slots=True)
class Critiques:
    """What a critic wrote of one Comparison, before it is scored.

    Attributes:
        versions: the Comparison with a critique behind each response; the mean of their rewards counts.
        texts, tokens, cut, seconds: as for `Critiqued`.
    """

    versions: tuple[EncodedComparison, ...]
    texts: tuple[tuple[str, ...], ...]
    tokens: int
    cut: int
    seconds: float


class CriticScorer:
    """As `Scorer`, of a critic, whatever critiques are given.

    Attributes:
        scorer: scores what has its critiques.

    Args:
        folder: an exported critic.
        budget, attention: as for `Scorer`.
        config: how critiques are written.
    """

    def __init__(self, folder: str, budget: PackBudget, config: CritiquesConfig, *, attention: str = "auto") -> None:
        self.scorer = Scorer(folder, budget, attention=attention)
        copy = local_model(folder)
        tokenizer, reading = load_tokenizer(copy), reading_of(copy)
        assert reading is not None, "a critic's folder says how it reads records"
        self._encoder = Encoder(tokenizer, reading.encode)
        self._writer: Writer = (
            VllmWriter(copy, self.scorer.model, tokenizer, reading.encode, config, budget.tokens)
            if config.writer == "vllm"
            else TransformersWriter(self.scorer.model, tokenizer, config)
        )

    def score(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[tuple[float, ...]]:
        """K rewards for each Comparison, in the given order; `blank`: as for `Scorer`, also for what is written."""
        return [one.rewards for one in self.critiqued(comparisons, blank=blank)]

    def critiqued(self, comparisons: Sequence[EncodedComparison], *, blank: bool = False) -> list[Critiqued]:
        """The same, with what was written."""
        return [self._critiqued(item, blank) for item in comparisons]

    def rows(self, items: Iterable[EncodedComparison], *, blank_images: bool) -> list[CritiquedRow]:
        """Rows of prepared data, those with images also with their images blanked out where that is asked for."""
        found = []
        for item in items:
            blank = self.score([item], blank=True)[0] if blank_images and item.images else None
            found.append(CritiquedRow(item.id, item.source, self._critiqued(item, False), blank))
        return found

    def write(self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None) -> "Critiques":
        """The Comparison once with each of the critiques that are written of its responses; see `Writer.write`."""
        began_s = time.perf_counter()
        texts = self._writer.write(item, blank=blank, until_s=until_s)
        seconds = time.perf_counter() - began_s
        written = [one for of_response in texts for one in of_response]
        return Critiques(
            versions=tuple(self._with(item, of_version) for of_version in zip(*texts, strict=True)),
            texts=tuple(tuple(one.text for one in of_response) for of_response in texts),
            tokens=sum(one.tokens for one in written),
            cut=sum(not one.ended for one in written),
            seconds=seconds,
        )

    def _critiqued(self, item: EncodedComparison, blank: bool) -> Critiqued:
        found = self.write(item, blank=blank)
        began_s = time.perf_counter()
        rewards = np.array(self.scorer.score(found.versions, blank=blank))
        return Critiqued(
            rewards=tuple(rewards.mean(axis=0).tolist()), critiques=found.texts, tokens=found.tokens, cut=found.cut,
            seconds=found.seconds, scoring_seconds=time.perf_counter() - began_s,
        )  # fmt: skip

    def _with(self, item: EncodedComparison, texts: Sequence[Written]) -> EncodedComparison:
        branches = [
            np.concatenate([ids, self._encoder.critique_ids(one.text.strip())])
            for ids, one in zip(opened(item).response_ids, texts, strict=True)
        ]
        return replace(item, response_ids=tuple(branches))


def check_writer(folder: str, critiques: CritiquesConfig, name: str) -> None:
    """Refuse to have a model write critiques that is no critic.

    Args:
        name: what messages call it.

    Raises:
        RecipeError: it is of another paradigm.
    """
    if critiques.source == "written" and (found := paradigm_of(folder)) != "critic":
        raise RecipeError(
            f"{name} is a {found} reward model, which writes no critiques: leave critiques.source at given"
        )


def scorer_of(
    folder: str, budget: PackBudget, critiques: CritiquesConfig | None, *, attention: str = "auto"
) -> Scorer | CriticScorer:
    """What scores with the model of `folder`.

    Args:
        critiques: where a critic's come from; None: from the records.

    Raises:
        RecipeError: critiques are to be written, and the model is no critic.
        MissingInput, CorruptData, RecipeError: as `Scorer`.
    """
    if critiques is None or critiques.source == "given":
        return Scorer(folder, budget, attention=attention)
    check_writer(folder, critiques, repr(folder))
    return CriticScorer(folder, budget, critiques, attention=attention)
