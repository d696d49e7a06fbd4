"""What to do with a record that its shape refuses: the shape that reads it, found by trying, or how to write it."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.checks import check
from data_pipeline.records.comparison import Comparison, text_of
from data_pipeline.sources.accounting import Adapter, shown_name
from data_pipeline.sources.parsing.fields import IMAGE_TAG

__all__ = ["OF_ANOTHER_SHAPE", "advice"]

OF_ANOTHER_SHAPE = ("unread_media", "unread_field", "wrong_field_type", "missing_field", "malformed_dialogue")
"""Refusals that may mean that the record is of another shape."""

_ANEW = (
    "write it for shape jsonl, the turns in prompt, with <image> where pictures stand, the pictures in image, the "
    "answers as text in chosen and rejected"
)


def advice(
    error: RecordError, record: Mapping[str, Any], source: SourceConfig, row: int, adapters: Mapping[str, Adapter]
) -> str:
    """Words that follow the refusal `error`; "" where nothing is known to help.

    Args:
        adapters: of every shape, in the order in which they are tried; those that account for unread fields.
    """
    for found in _candidates(record, source, adapters):
        try:
            made = adapters[found.shape](record, found, row)
            comparisons = [made] if isinstance(made, Comparison) else made
            for comparison in comparisons:
                check(comparison)
        except RecordError:
            continue
        if comparisons and not any(map(_has_tag, comparisons)):
            mapped = f" with fields {{image: {shown_name(found.fields.image)}}}" if _other_image(found) else ""
            return f"; shape {found.shape}{mapped} reads it"
    return f"; no shape reads it: {_ANEW}" if error.reason == "unread_media" else ""


def _candidates(
    record: Mapping[str, Any], source: SourceConfig, adapters: Mapping[str, Adapter]
) -> Iterator[SourceConfig]:
    images = [name for name in ("images", "img", "img_path", "image_path") if name in record]
    for image in ("image", *images):
        yield replace(source, shape="jsonl", fields=FieldMap(image=image))
    for shape in adapters:
        if shape not in ("jsonl", source.shape):
            yield replace(source, shape=shape)


def _other_image(source: SourceConfig) -> bool:
    return source.shape == "jsonl" and source.fields.image != FieldMap().image


def _has_tag(comparison: Comparison) -> bool:
    """Whether a picture's place was taken for plain text."""
    return any(IMAGE_TAG in text_of(turn.parts) for turn in comparison.prompt)
