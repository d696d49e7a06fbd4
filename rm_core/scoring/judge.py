"""A judge that reasons: n texts about each pair of answers in both orders, and the share of their verdicts.

    Comparison -> pairs of its answers -> each in both orders -> `Writer` -> n texts -> `verdict_of`: 1, 2 or none
      -> of a pair, the share of verdicts for its first answer, less that for the other: mean of both orders
      -> rewards whose differences fit these best, by least squares

What cannot be read is counted and is no verdict. A question of which no text has a verdict leaves the Comparison
without rewards. What is written about two answers depends on them, the prompt and the seed alone: not on the other
answers, nor on which pairs are asked about.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import torch

from data_pipeline.encoding.encoded import EncodedComparison
from data_pipeline.encoding.judge_format import verdict_of
from data_pipeline.encoding.tokenizer import load_tokenizer
from rm_core.generation.config import VerdictsConfig
from rm_core.generation.interface import Writer, Written
from rm_core.generation.transformers_writer import TransformersWriter
from rm_core.generation.vllm_writer import VllmWriter
from rm_core.model_folder.folder import load_reward_model
from rm_core.model_folder.reading import reading_of
from rm_core.scoring.scorer import asking_in, check_answers
from rm_core.scoring.tournament import Bracket, drawn_order, pair_of
from rm_core.scoring.written import WritingScorer

__all__ = ["JudgedOnce", "Question", "ReasoningScorer"]

Pair = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Question:
    """Two answers in an order, and what was written about them.

    Attributes:
        first: place of the answer that was shown first.
        second: of the other one.
        texts: that were written, n of them.
        verdicts: of each text, 1 or 2; None: it has none that can be read.
    """

    first: int
    second: int
    texts: tuple[str, ...]
    verdicts: tuple[int | None, ...]

    @property
    def share(self) -> float | None:
        """Of the verdicts, those for the first answer; None without any."""
        known = [verdict for verdict in self.verdicts if verdict is not None]
        return known.count(1) / len(known) if known else None

    def fields(self) -> dict[str, Any]:
        """What JSON says of it."""
        return {"first": self.first, "second": self.second, "said": list(self.verdicts), "texts": list(self.texts)}


@dataclass(frozen=True, slots=True)
class JudgedOnce:
    """What a judge made of one Comparison.

    Attributes:
        rewards: one a response; None: a question has no verdict.
        questions: that were asked, in both orders one after the other.
        tokens: that were written, all together.
        cut: texts that did not end by themselves.
        seconds: that writing took.
    """

    rewards: tuple[float, ...] | None
    questions: tuple[Question, ...]
    tokens: int
    cut: int
    seconds: float

    @property
    def unread(self) -> int:
        """Texts without a verdict, those that were cut among them."""
        return sum(one.verdicts.count(None) for one in self.questions)

    @property
    def error(self) -> str | None:
        """Which question has no verdict; None where all have."""
        for one in self.questions:
            if one.share is None:
                return f"no_verdict: answers {one.first} and {one.second} in this order: {one.texts[-1][-160:]!r}"
        return None

    def fields(self) -> dict[str, Any]:
        """What a line of JSON says of it beside the rewards."""
        return {
            "verdicts": [one.fields() for one in self.questions],
            "verdict_tokens": self.tokens,
            "verdicts_cut": self.cut,
            "verdicts_unread": self.unread,
            "verdict_seconds": round(self.seconds, 4),
        }


class ReasoningScorer(WritingScorer):
    """A judge that reasons, with its own writing.

    Args:
        folder: an exported judge of that form.
        config: which pairs are asked about, and how texts are written.
        max_length: tokens of a question and a text about it, where vLLM writes.
        writer: what writes; None: what `config` says, with the weights of `folder`.
    """

    def __init__(self, folder: str, config: VerdictsConfig, max_length: int, writer: Writer | None = None) -> None:
        self._asking = asking_in(folder)
        self._pads = self._asking.tokens.pads
        self._config = config
        self._writer = _writer_of(folder, config, max_length) if writer is None else writer

    def made(self, item: EncodedComparison, *, blank: bool = False, until_s: float | None = None) -> JudgedOnce:
        """Its rewards and its texts about one Comparison.

        Args:
            until_s: as for `Writer.write`.

        Raises:
            RecipeError: there is one response alone.
            WritingTooLong: it is `until_s`.
        """
        check_answers(item)
        work = _Work(self, item, drawn_order(item, self._pads), blank, until_s)
        return work.ended(work.tournament() if self._config.pairs == "tournament" else work.all_pairs())

    def longest(self, item: EncodedComparison) -> int:
        """Tokens of the longest question about two of its responses, with all that stands before what is written."""
        return self._asking(item).length

    def asked(
        self, item: EncodedComparison, pair: Pair, blank: bool, until_s: float | None
    ) -> tuple[list[Question], list[Written]]:
        """The pair in both orders, and all that was written about it."""
        asked = self._asking(pair_of(item, pair, self._pads))
        assert asked.questions is not None
        opened = replace(asked, target_starts=tuple(map(len, asked.response_ids)))
        texts = self._writer.write(opened, blank=blank, until_s=until_s)
        questions = [
            Question(pair[first], pair[second], tuple(one.text for one in of), tuple(map(_verdict, of)))
            for (first, second), of in zip(asked.questions.pairs, texts, strict=True)
        ]
        return questions, [one for of in texts for one in of]


def _writer_of(folder: str, config: VerdictsConfig, max_length: int) -> Writer:
    if config.writer == "vllm":  # which has the weights; ours say their shapes alone
        reading = reading_of(folder)
        assert reading is not None, "a judge's folder says how it reads records"
        model = load_reward_model(folder, dtype=torch.bfloat16)
        return VllmWriter(folder, model, load_tokenizer(folder), reading.encode, config, max_length, "verdicts")
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = load_reward_model(folder, dtype=dtype).to(device)
    return TransformersWriter(model, load_tokenizer(folder), config)


def _verdict(written: Written) -> int | None:
    """1 or 2 of a text that the model ended itself."""
    found = verdict_of(written.text) if written.ended else None
    return None if found is None else found + 1


class _Work:
    """One Comparison under way; `order` are the places of its answers, as drawn."""

    def __init__(
        self, scorer: ReasoningScorer, item: EncodedComparison, order: Sequence[int], blank: bool, until_s: float | None
    ) -> None:
        self._scorer, self._item, self._order, self._blank, self._until_s = scorer, item, order, blank, until_s
        self._began_s = time.perf_counter()
        self._questions: list[Question] = []
        self._written: list[Written] = []

    def all_pairs(self) -> tuple[float, ...] | None:
        """Rewards from every pair: of an answer the mean of its values against all, against itself 0."""
        values = {pair: self._value(pair) for pair in combinations(self._order, 2)}
        return _fitted(len(self._order), values)

    def tournament(self) -> tuple[float, ...] | None:
        """Rewards from the pairs of a knock-out."""
        bracket = Bracket(self._order)
        while pairs := bracket.pairs:
            values = [value for value in map(self._value, pairs) if value is not None]
            if len(values) < len(pairs):
                return None
            bracket.settle(values)
        return bracket.rewards()

    def ended(self, rewards: tuple[float, ...] | None) -> JudgedOnce:
        return JudgedOnce(
            rewards=rewards,
            questions=tuple(self._questions),
            tokens=sum(one.tokens for one in self._written),
            cut=sum(not one.ended for one in self._written),
            seconds=time.perf_counter() - self._began_s,
        )

    def _value(self, pair: Pair) -> float | None:
        """By what share of the verdicts the pair's first answer is better, -1 to 1; None: an order has none.

        A pair comes as it was drawn, whatever asks about it: in its tokens lies the seed of what is written.
        """
        questions, written = self._scorer.asked(self._item, pair, self._blank, self._until_s)
        self._questions += questions
        self._written += written
        shares = [one.share if one.first == pair[0] else _turned(one.share) for one in questions]
        known = [share for share in shares if share is not None]
        return 2 * sum(known) / len(known) - 1 if len(known) == len(shares) else None


def _turned(share: float | None) -> float | None:
    return None if share is None else 1 - share


def _fitted(count: int, values: Mapping[Pair, float | None]) -> tuple[float, ...] | None:
    rewards = [0.0] * count
    for (first, second), value in values.items():
        if value is None:
            return None
        rewards[first] += value / count
        rewards[second] -= value / count
    return tuple(rewards)
