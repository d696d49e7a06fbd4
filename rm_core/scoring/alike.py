"""Which responses of a Comparison are one and the same to a model that sees no pictures."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from data_pipeline.encoding.encoder import EncodedComparison, EncodedVideo, VisionSpan
from rm_core.batches.positions import RowFormat

__all__ = ["first_alike"]


def first_alike(item: EncodedComparison, row_format: RowFormat) -> tuple[int, ...]:
    """For each response the first one with the same tokens, and pictures of the same sizes: itself in most cases.

    Answers that are pictures of one size and nothing else are all alike: (0, 0, 0, 0). Their rewards differ in the last
    bits, by where they stand in a row.
    """
    spans = iter(item.images)
    _layout(item.prefix_ids, spans, row_format)
    layouts = [(ids.tobytes(), _layout(ids, spans, row_format)) for ids in item.response_ids]
    return tuple(map(layouts.index, layouts))


def _layout(ids: Any, spans: Iterator[VisionSpan], row_format: RowFormat) -> tuple[object, ...]:
    """The sizes of the spans that stand in `ids`, which are taken from `spans`, and the times of videos."""
    left = int(np.isin(ids, (row_format.image_token, row_format.video_token)).sum())
    found: list[object] = []
    while left > 0:
        span = next(spans)
        left -= span.num_tokens
        found.append((span.grid, span.seconds_per_step if isinstance(span, EncodedVideo) else None))
    return tuple(found)
