"""Checked reading of raw fields, shared by the adapters: every refusal names the field, the row and what is there."""

import base64
import binascii
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import ImageSlot, MediaRef, Part
from data_pipeline.sources.parsing.watched import Watched, watched

__all__ = [
    "IMAGE_TAG",
    "id_of",
    "media_of",
    "number",
    "objects",
    "parsed_json",
    "place_images",
    "require",
    "split_at_tags",
    "text",
    "wrong_type",
]

IMAGE_TAG = "<image>"


def require(record: Mapping[str, Any], field: str, row: int) -> Any:
    """The field's value.

    Raises:
        RecordError: it is not there (``"missing_field"``); the detail lists the fields that are.
    """
    if field not in record:
        raise RecordError("missing_field", f"{field} in row {row} of {sorted(record)}")
    return record[field]


def text(record: Mapping[str, Any], field: str, row: int) -> str:
    """The field's value, which must be a string.

    Raises:
        RecordError: ``"missing_field"`` or ``"wrong_field_type"``.
    """
    value = require(record, field, row)
    if not isinstance(value, str):
        raise wrong_type(field, row, "a string", value)
    return value


def number(record: Mapping[str, Any], field: str, row: int) -> float:
    """The field's value, which must be a number (true and false are none).

    Raises:
        RecordError: ``"missing_field"``, ``"wrong_field_type"``, ``"unparsable_label"`` (beyond what a float holds).
    """
    value = require(record, field, row)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise wrong_type(field, row, "a number", value)
    try:
        return float(value)
    except OverflowError as error:  # JSON knows integers of any length
        raise RecordError("unparsable_label", f"{field} in row {row} is too large a number") from error


def objects(value: object, field: str, row: int, expected: str = "a list of objects") -> list[Mapping[str, Any]]:
    """`value`, the content of `field`, which must be a list of objects; `expected` is for the message.

    Raises:
        RecordError: ``"wrong_field_type"``.
    """
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise wrong_type(field, row, expected, value)
    return value


def parsed_json(record: Mapping[str, Any], field: str, row: int, expected: str) -> Any:
    """What the JSON inside a field's string holds; `expected` is for the message.

    Raises:
        RecordError: ``"missing_field"``, ``"wrong_field_type"`` (also where the string is no JSON).
    """
    words = text(record, field, row)
    try:
        value = watched(json.loads(words))
    except (ValueError, RecursionError) as error:
        raise wrong_type(field, row, f"{expected} in a string ({error})", words) from error
    if isinstance(record, Watched):
        record.parsed[field] = value
    return value


def id_of(record: Mapping[str, Any], field: str, row: int) -> str:
    """The record's own id as text; the row number where it has none.

    A whole number as a float is an id too: a table with a missing id keeps its integers so, 7 as 7.0.

    Raises:
        RecordError: the id is neither text nor an integer (``"wrong_field_type"``).
    """
    value = record.get(field)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return str(row)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise wrong_type(field, row, "a string or an integer", value)
    return str(value)


def wrong_type(field: str, row: int, expected: str, value: object) -> RecordError:
    """The error for a field of another type; raise it."""
    return RecordError("wrong_field_type", f"{field} in row {row}: expected {expected}, got {_show(value)}")


def media_of(value: object, field: str, row: int) -> tuple[MediaRef, ...]:
    """The images that a field names, in order.

    A path, ``{"bytes", "path"}``, bytes, a base64 data URL, or a list of these; None and "" are no image.

    Raises:
        RecordError: ``"missing_media"`` (neither bytes nor path), ``"broken_image"`` (a data URL that is no base64),
            ``"wrong_field_type"`` (anything else).
    """
    if value is None or value == "":
        return ()
    items = value if isinstance(value, list | tuple) else [value]
    return tuple(_media_ref(item, field, row) for item in items)


def split_at_tags(value: str, first_index: int = 0) -> tuple[Part, ...]:
    """Text with its ``<image>`` tags turned to slots, counted from `first_index`.

    >>> split_at_tags("Is <image> like this?")
    ('Is ', ImageSlot(index=0), ' like this?')
    """
    parts: list[Part] = []
    for i, piece in enumerate(value.split(IMAGE_TAG)):
        if i:
            parts.append(ImageSlot(first_index + i - 1))
        if piece:
            parts.append(piece)
    return tuple(parts)


def place_images(value: str, num_images: int, row: int) -> tuple[Part, ...]:
    """The parts of a one-turn prompt: images stand at the tags, or before the text where it has no tag.

    Raises:
        RecordError: another number of tags than of images (``"image_slot_mismatch"``).
    """
    num_tags = value.count(IMAGE_TAG)
    if num_tags == 0:
        images: tuple[Part, ...] = tuple(ImageSlot(i) for i in range(num_images))
        return (*images, value) if value else images
    if num_tags != num_images:
        raise RecordError("image_slot_mismatch", f"row {row}: {num_tags} {IMAGE_TAG} tags for {num_images} images")
    return split_at_tags(value)


def _media_ref(value: object, field: str, row: int) -> MediaRef:
    if isinstance(value, str) and value.startswith("data:"):
        value = _decode_data_url(value, field, row)
    if isinstance(value, str) and value:
        return MediaRef(path=value)
    if isinstance(value, bytes) and not value:
        raise RecordError("missing_media", f"{field} in row {row} has no bytes")
    if isinstance(value, bytes):
        return MediaRef(data=value)
    if isinstance(value, Mapping):
        return _embedded(value, field, row)
    raise wrong_type(field, row, 'a path, a data URL, {"bytes", "path"} or a list of these', value)


def _embedded(value: Mapping[str, Any], field: str, row: int) -> MediaRef:
    data, path = value.get("bytes"), value.get("path")
    if not isinstance(data, bytes | None):
        raise wrong_type(f"{field}.bytes", row, "bytes", data)
    if not isinstance(path, str | None):
        raise wrong_type(f"{field}.path", row, "a string", path)
    if not data and not path:
        raise RecordError("missing_media", f"{field} in row {row} has neither bytes nor path: {sorted(value)}")
    return MediaRef(path=path or None, data=data or None)


def _decode_data_url(value: str, field: str, row: int) -> bytes:
    header, _, body = value.partition(",")
    if not header.endswith(";base64"):
        raise RecordError("broken_image", f"{field} in row {row}: a data URL must be base64, got {header[:60]!r}")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error as error:
        raise RecordError("broken_image", f"{field} in row {row}: {error} in {_show(value)}") from error


def _show(value: object) -> str:
    shown = f"a list of {len(value)}" if isinstance(value, Sequence) and not isinstance(value, str) else repr(value)
    return f"{type(value).__name__} {shown[:80]}"
