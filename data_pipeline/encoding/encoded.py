"""A Comparison as tokens and pictures, and what its records say of it: what `encoder` makes and all others read."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.spans import EncodedImage, EncodedVideo, VisionSpan

__all__ = [
    "NOT_KNOWN",
    "EncodedComparison",
    "EncodedReasoning",
    "Judgement",
    "Questions",
    "Segments",
    "spans_of_parts",
]

Ids = npt.NDArray[np.int32]
NOT_KNOWN = -1
"""Which of two answers is better, where no record says it."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one record says about some responses of a grouped Comparison: of a pair, that one is better than the other.

    Two records may judge the same two responses, alike or the other way round; both stay.

    Attributes:
        id: the record's id, for messages.
        responses: places of the judged responses; a place twice where the record has an answer twice.
        ranks: parallel, 0 is best.
        scores: parallel, of the source; None where it has none.
    """

    id: str
    responses: tuple[int, ...]
    ranks: tuple[int, ...]
    scores: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class EncodedReasoning:
    """A `Reasoning` as a judge writes it in front of its verdict: ``<think>text</think><answer>``.

    Attributes:
        first: place of the response that is shown first.
        second: of the other one.
        ids: int32 tokens.
    """

    first: int
    second: int
    ids: Ids


@dataclass(frozen=True, slots=True)
class Questions:
    """Of a Comparison that a judge reads, which answers each of its responses asks about; see `questions.py`.

    Attributes:
        pairs: for each response of the row, the places of the first and of the second answer that it shows.
        right: for each, 0 where the first answer is known to be better, 1 where the second is, else `NOT_KNOWN`.
        weights: of each in the loss, such that those about a pair that a record judges sum to 1.
        lengths: tokens of each answer, with its closing one.
        verdicts: the tokens by which a judge says that the first, or the second, is better.
        behind: tokens of each response from the verdict on; 0 where it stands behind the response.
    """

    pairs: tuple[tuple[int, int], ...]
    right: tuple[int, ...]
    weights: tuple[float, ...]
    lengths: tuple[int, ...]
    verdicts: tuple[int, int]
    behind: int = 0


@dataclass(frozen=True, slots=True)
class EncodedComparison:
    """A Comparison as the model reads it.

    Attributes:
        id: the record's id, for messages.
        source: the name of its source.
        split: "train" or "heldout"; "" where none was assigned.
        prefix_ids: int32 [P], the prompt with its vision tokens, up to and with ``<|im_start|>assistant\\n``.
        response_ids: K arrays int32 [R_k], each ending with ``<|im_end|>``.
        ranks: K ranks, 0 is best; empty where there are `judgements`.
        scores: K scores of the source, None where it has none; empty likewise.
        images: one an image or video span, in the order of [prefix | response 1 | ... | response K].
        judgements: of a grouped Comparison, what each of its records says; empty where it comes from one record.
        target_starts: for each response, how many of its tokens come before what the model shall write itself, which
            goes on to its end; empty where it writes nothing.
        questions: what each response asks a judge, who then says which of the answers is better; ranks and judgements
            are those of the answers. None: the responses are the answers.
        reasonings: about pairs of responses, for who asks a judge; no part of any response.
    """

    id: str
    source: str
    split: str
    prefix_ids: Ids
    response_ids: tuple[Ids, ...]
    ranks: tuple[int, ...]
    scores: tuple[float | None, ...]
    images: tuple[VisionSpan, ...]
    judgements: tuple[Judgement, ...] = ()
    target_starts: tuple[int, ...] = ()
    questions: Questions | None = None
    reasonings: tuple[EncodedReasoning, ...] = ()

    @property
    def answer_lengths(self) -> tuple[int, ...]:
        """Tokens of each answer, with its closing one."""
        return tuple(map(len, self.response_ids)) if self.questions is None else self.questions.lengths

    @property
    def judged(self) -> tuple[Judgement, ...]:
        """What each of its records says; of one record, its ranks and scores."""
        whole = tuple(range(len(self.answer_lengths)))
        return self.judgements or (Judgement(self.id, whole, self.ranks, self.scores),)

    @property
    def pictures(self) -> tuple[EncodedImage, ...]:
        """Still images and frames of videos, in the order of the spans."""
        return tuple(
            picture for span in self.images for picture in (span.frames if isinstance(span, EncodedVideo) else (span,))
        )

    @property
    def num_tokens(self) -> int:
        """Tokens of the prefix, once, and of all responses."""
        return len(self.prefix_ids) + sum(len(ids) for ids in self.response_ids)

    @property
    def length(self) -> int:
        """Tokens of the prefix and the longest response: the longest row the model ever attends over."""
        return len(self.prefix_ids) + max(len(ids) for ids in self.response_ids)


@dataclass(frozen=True, slots=True)
class Segments:
    """Where a Comparison may be cut: the prefix's segments are [system turn, turn 1, ..., turn n, answer header].

    Attributes:
        lengths: tokens of each segment; their sum is the prefix's length.
        images: image and video spans in each segment.
        floors: for each response, tokens a cut has to keep so that no such span is cut: up to the end of the last
            one, and the closing token; 0 where it has none.
    """

    lengths: tuple[int, ...]
    images: tuple[int, ...]
    floors: tuple[int, ...]


def spans_of_parts(item: EncodedComparison, pads: Collection[int]) -> list[tuple[VisionSpan, ...]]:
    """The spans that stand in the prefix and in each response: [prefix, response 1, ..., response K].

    Args:
        pads: tokens of pictures and of videos.
    """
    rest, found = item.images, []
    for ids in (item.prefix_ids, *item.response_ids):
        left, count = int(np.isin(ids, tuple(pads)).sum()), 0
        while left > 0:
            left -= rest[count].num_tokens
            count += 1
        found.append(rest[:count])
        rest = rest[count:]
    return found
