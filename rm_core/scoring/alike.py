"""Which responses of a Comparison are one and the same to a model that sees no pictures."""

from data_pipeline.encoding.encoded import EncodedComparison, spans_of_parts
from data_pipeline.encoding.spans import EncodedVideo, VisionSpan
from rm_core.batches.positions import RowFormat

__all__ = ["first_alike"]


def first_alike(item: EncodedComparison, row_format: RowFormat) -> tuple[int, ...]:
    """For each response the first one with the same tokens, and pictures of the same sizes: itself in most cases.

    Answers that are pictures of one size and nothing else are all alike: (0, 0, 0, 0). Their rewards differ in the last
    bits, by where they stand in a row.
    """
    _, *shown = spans_of_parts(item, (row_format.image_token, row_format.video_token))
    looks = [(ids.tobytes(), tuple(map(_look, spans))) for ids, spans in zip(item.response_ids, shown, strict=True)]
    return tuple(map(looks.index, looks))


def _look(span: VisionSpan) -> tuple[object, ...]:
    """The size of a span, and the times of a video."""
    return (span.grid, span.seconds_per_step if isinstance(span, EncodedVideo) else None)
