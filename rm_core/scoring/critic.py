"""A critic that writes its own critiques: n of each answer, a reward behind each, and their mean.

    Comparison -> its branches cut where the model begins to write -> `Writer` -> n texts a branch
      -> n Comparisons with a critique behind every answer -> `Scorer` -> rewards [n, K] -> mean [K]

What is scored is the text, encoded as a given critique is: scoring it again as one gives the same reward.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from data_pipeline.encoding.encoder import EncodedComparison, Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from rm_core.generation.config import CritiquesConfig
from rm_core.generation.interface import Writer, Written, opened
from rm_core.generation.transformers_writer import TransformersWriter
from rm_core.generation.vllm_writer import VllmWriter
from rm_core.model_folder.reading import reading_of
from rm_core.model_folder.remote import local_model
from rm_core.packing.plan import PackBudget
from rm_core.scoring.scorer import Scorer
from rm_core.scoring.written import WritingScorer

__all__ = ["CriticScorer", "Critiqued", "Critiques"]


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

    @property
    def error(self) -> None:
        """There are always rewards."""
        return None

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


class CriticScorer(WritingScorer):
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

    def write(self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None) -> Critiques:
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

    def made(self, item: EncodedComparison, *, blank: bool = False) -> Critiqued:
        """Its rewards and critiques of one Comparison."""
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
