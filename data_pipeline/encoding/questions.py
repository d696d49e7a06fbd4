"""A Comparison as questions to a judge, which sees two of its answers and says which one is better.

    prompt, as it was | <|im_start|>user  QUESTION  "[Answer 1]"            the prefix, once
        answer i | "[Answer 2]" | answer j | "..." <|im_start|>assistant    one response for each question (i, j)

The judge's next token is its verdict: ``1`` or ``2``. One that reasons writes ``<think>why</think><answer>1</answer>``
there (`judge_format`); a given reasoning stands behind its question, in the same response. Prompt and pictures are
computed once for all questions about a Comparison, and each question is a response of the packed row: nobody sees
another question's answers.

Tokens of answers stay those of the shards, so that the same shards train every kind of reward model. A byte pair never
crosses from the question's text into an answer.

Source of the form: the generative reward models of the BaseReward paper (arXiv 2509.16127), Table 1, whose short form
answers with ``1`` or ``2`` alone, and whose long form thinks first.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from data_pipeline.config import EncodeConfig
from data_pipeline.encoding.encoded import (
    NOT_KNOWN,
    EncodedComparison,
    Judgement,
    Questions,
    spans_of_parts,
)
from data_pipeline.encoding.judge_format import CLOSING
from data_pipeline.encoding.tokenizer import ChatTokenizer
from data_pipeline.errors import RecipeError, RunError

__all__ = ["Asking", "QuestionTokens", "question_tokens"]

Ids = npt.NDArray[np.int32]
_PLACES = ("{first}", "{second}")


@dataclass(frozen=True, slots=True)
class QuestionTokens:
    """The fixed parts of a question, as tokens of one tokenizer.

    Attributes:
        before: up to the first answer, from the turn's own ``<|im_start|>`` on.
        between: from the first answer to the second.
        after: behind the second one, up to where the verdict stands.
        verdicts: the tokens of ``1`` and ``2``.
        header: tokens of the answer header that ends a prefix, which a question takes the place of.
        end: tokens that end an answer, which a question leaves out.
        pads: tokens of pictures and of videos.
        closing: what follows the verdict of a judge that reasons.
    """

    before: Ids
    between: Ids
    after: Ids
    verdicts: tuple[int, int]
    header: int
    end: int
    pads: tuple[int, int]
    closing: Ids = field(default_factory=lambda: _ids([]))

    @property
    def num_own(self) -> int:
        """Tokens of a question beside its two answers, without those that stand in the prefix."""
        return len(self.between) + len(self.after)


def question_tokens(tokenizer: ChatTokenizer, template: str, encode: EncodeConfig) -> QuestionTokens:
    """The tokens of a question.

    Args:
        template: its text, with ``{first}`` and ``{second}``, each once and in this order.
        encode: how the Comparisons were read.

    Raises:
        RecipeError: it has not; the tokenizer has no token of its own for ``1`` or ``2``; or answers were read as one
            text with their header, which a question does not have.
    """
    key = "train.generative.question"
    first, second = map(template.find, _PLACES)
    if any(template.count(place) != 1 for place in _PLACES) or second < first:
        raise RecipeError(f"{key} must hold {{first}} and {{second}}, each once and in this order; got {template!r}")
    if encode.answer_start != "generated":
        raise RecipeError(
            f"train.paradigm=generative reads answers by themselves, and preprocess.encode.answer_start="
            f"{encode.answer_start} reads them as one text with their header: set it to generated and preprocess again"
        )
    before, rest = template.split(_PLACES[0])
    between, after = rest.split(_PLACES[1])
    verdicts = [tokenizer.encode(text) for text in ("1", "2")]
    if any(len(ids) != 1 for ids in verdicts):
        raise RecipeError(f"the tokenizer writes 1 and 2 as {verdicts}: a verdict must be one token of its own")
    special = tokenizer.special_ids
    turn = special["<|im_start|>"]
    header = [turn, *tokenizer.encode("assistant\n")]
    return QuestionTokens(
        before=_ids([turn, *tokenizer.encode(f"user\n{before}")]),
        between=_ids(tokenizer.encode(between)),
        after=_ids([*tokenizer.encode(after), special["<|im_end|>"], *tokenizer.encode("\n"), *header]),
        verdicts=(verdicts[0][0], verdicts[1][0]),
        header=len(header),
        end=2 if encode.answer_end == "line_break" else 1,
        pads=(tokenizer.image_token, tokenizer.video_token),
        closing=_ids([*tokenizer.encode(CLOSING), special["<|im_end|>"]]),
    )


@dataclass(frozen=True, slots=True)
class Asking:
    """Which questions are asked about a Comparison.

    Attributes:
        orders: ``both``: about every pair of which a record says that one is better, in both orders; ``one``: in one
            order, drawn from the tokens of prompt and answers, so that the better answer comes first in about half of
            the pairs; ``all``: about every pair in both orders, whatever is known of it; ``given``: once for each
            reasoning of the record, with the reasoning and its verdict behind the question.
    """

    tokens: QuestionTokens
    orders: str

    def __call__(self, item: EncodedComparison) -> EncodedComparison:
        """The Comparison with a response for each question; what was said of its answers stays.

        Raises:
            RunError: reasonings are asked for, and a pair of which one answer is better has none.
        """
        tokens, questions = self.tokens, self._questions(item)
        if self.orders == "given":
            _check_reasonings(item)
        pairs = [pair for pair, _ in questions]
        reasoned = self.orders == "given"
        times = Counter(map(frozenset, pairs)) if reasoned else {}
        answers = [ids[: -tokens.end] for ids in item.response_ids]
        spans = spans_of_parts(item, tokens.pads)
        asked = tuple(
            np.concatenate([answers[first], tokens.between, answers[second], tokens.after]) for first, second in pairs
        )
        return replace(
            item,
            prefix_ids=np.concatenate([item.prefix_ids[: -tokens.header], tokens.before]),
            response_ids=self._reasoned(item, asked, questions) if reasoned else asked,
            target_starts=tuple(map(len, asked)) if reasoned else (),
            reasonings=(),
            images=(*spans[0], *(span for pair in pairs for place in pair for span in spans[1 + place])),
            questions=Questions(
                pairs=tuple(pairs),
                right=tuple(right for _, right in questions),
                weights=tuple(1 / times.get(frozenset(pair), 1 if self.orders == "one" else 2) for pair in pairs),
                lengths=tuple(map(len, item.response_ids)),
                verdicts=tokens.verdicts,
                behind=1 + len(tokens.closing) if reasoned else 0,
            ),
        )

    def _reasoned(
        self, item: EncodedComparison, asked: Sequence[Ids], questions: Sequence[tuple[tuple[int, int], int]]
    ) -> tuple[Ids, ...]:
        """Each question with what the judge shall write: its reasoning, and the verdict that the record gives."""
        return tuple(
            np.concatenate([question, one.ids, _ids([self.tokens.verdicts[right]]), self.tokens.closing])
            for question, one, (_, right) in zip(asked, item.reasonings, questions, strict=True)
        )

    def _questions(self, item: EncodedComparison) -> list[tuple[tuple[int, int], int]]:
        """The first and the second answer of every question, and which of the two is better."""
        if self.orders == "all":
            places = range(len(item.response_ids))
            return [((i, j), NOT_KNOWN) for i in places for j in places if i != j]
        if self.orders == "given":
            ranks = item.ranks
            return [((r.first, r.second), int(ranks[r.first] > ranks[r.second])) for r in item.reasonings]
        found: list[tuple[tuple[int, int], int]] = []
        for judgement in item.judged:
            for better, worse in pairs_of(judgement):
                in_order = ((better, worse), 0), ((worse, better), 1)
                found += in_order if self.orders == "both" else [in_order[_turns(item, better, worse)]]
        return found


def _check_reasonings(item: EncodedComparison) -> None:
    has = {frozenset((one.first, one.second)) for one in item.reasonings}
    for judgement in item.judged:
        for better, worse in pairs_of(judgement):
            if frozenset((better, worse)) not in has:
                raise RunError(
                    f"Comparison {item.id!r} has no reasoning about its answers {better} and {worse}, and "
                    "train.generative.form=reasoning learns from them: preprocess its source with "
                    "missing_reasonings=refuse"
                )


def pairs_of(judgement: Judgement) -> list[tuple[int, int]]:
    """(better, worse) of every pair of a judgement, as places of the item's answers."""
    places, ranks = judgement.responses, judgement.ranks
    return [(places[i], places[j]) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b]


def _turns(item: EncodedComparison, better: int, worse: int) -> bool:
    """Whether the better answer of a pair is shown second."""
    texts = [item.response_ids[place].tobytes() for place in (better, worse)]
    drawn = hashlib.sha256(b"".join((item.prefix_ids.tobytes(), *sorted(texts)))).digest()[0] & 1
    return bool(drawn) == (texts[0] < texts[1])


def _ids(values: Sequence[int]) -> Ids:
    return np.array(values, dtype=np.int32)
