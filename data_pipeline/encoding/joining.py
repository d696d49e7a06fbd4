"""Encoded Comparisons that ask the same as one: the prompt once, each different response once, every judgement."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import EncodedComparison, Judgement, VisionSpan

__all__ = ["as_one_record", "joined"]


def joined(
    records: Sequence[EncodedComparison], judged: Sequence[Sequence[int]], response_spans: Sequence[int]
) -> EncodedComparison:
    """One Comparison of several; its prompt, id and images of the prompt are those of the first record.

    Two records of one prompt, the first over answers A and B, the second over B and C, with `judged` ((0, 1), (1, 2)),
    have the responses A, B and C and two judgements.

    Args:
        records: at least one; all but the first without the images of their prompts.
        judged: for each record, which response of the group each of its own is.
        response_spans: images and videos in each response of the group.
    """
    responses: list[npt.NDArray[np.int32] | None] = [None] * len(response_spans)
    spans_of: list[tuple[VisionSpan, ...]] = [()] * len(response_spans)
    in_prompt = len(records[0].images) - sum(response_spans[place] for place in judged[0])
    for number, (record, places) in enumerate(zip(records, judged, strict=True)):
        spans = record.images[0 if number else in_prompt :]
        for ids, place in zip(record.response_ids, places, strict=True):
            own, spans = spans[: response_spans[place]], spans[response_spans[place] :]
            if responses[place] is None:
                responses[place], spans_of[place] = ids, own
    return replace(
        records[0],
        response_ids=tuple(ids for ids in responses if ids is not None),
        ranks=(),
        scores=(),
        images=(*records[0].images[:in_prompt], *(span for spans in spans_of for span in spans)),
        judgements=tuple(
            Judgement(record.id, tuple(places), record.ranks, record.scores)
            for record, places in zip(records, judged, strict=True)
        ),
    )


def as_one_record(comparison: EncodedComparison) -> EncodedComparison:
    """The same tokens and images with each response judged once, in their order: for whoever reads no judgement."""
    if not comparison.judgements:
        return comparison
    count = len(comparison.answer_lengths)
    return replace(comparison, ranks=tuple(range(count)), scores=(None,) * count, judgements=())
