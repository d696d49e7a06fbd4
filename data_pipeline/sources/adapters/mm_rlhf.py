"""MM-RLHF: pairs on a picture or a video (``dpo_pairs.jsonl``), and the items of its benchmark.

::

    {"id": "073712_1", "image": "short/a.png", "prompt": "Which side is longer?", "chosen": "...", "rejected": "...",
     "chosen_reason": "...", "rejected_reason": "...", "margin": 1.5}
    {"id": "v1_2", "video": "video/v1", "prompt": "What happens?", "chosen": "...", "rejected": "...", "is_tie": false}

``chosen`` is the better answer; with ``is_tie`` both have rank 0, so that `records.checks` refuses the pair
(``no_preference``). A ``margin``, where there is one, becomes the difference of the scores.

Awkward: a video names a folder of frames or a file, and its records have no ``image`` at all, or, in tables of both
kinds, null or ""; a video's place may be written ``<video>`` or ``<image>``; the reasons speak of the answers: they
are their critiques.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, MediaRef
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["to_comparison"]

_REASONS = ("chosen_reason", "rejected_reason")
_VIDEO_TAG = "<video>"


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair on an image, several images, or the frames of a video.

    Raises:
        RecordError: missing_field (no image or video either), wrong_field_type, missing_media, broken_image,
            image_slot_mismatch, unparsable_label (``is_tie`` is neither true nor false, or a ``margin`` is negative or
            not finite).
    """
    question = fields.text(record, "prompt", row)
    if record.get("video"):
        question = question.replace(_VIDEO_TAG, fields.IMAGE_TAG)
    worse = 0 if _is_tie(record, row) else 1
    made = image_turns.one_question(
        question,
        _media(record, row),
        [(fields.text(record, "chosen", row), 0), (fields.text(record, "rejected", row), worse)],
        name=fields.id_of(record, "id", row),
        source=source,
        row=row,
    )
    better, other = (
        replace(response, critique=fields.text(record, reason, row) if reason in record else None)
        for response, reason in zip(made.responses, _REASONS, strict=True)
    )
    margin = _margin(record, row)
    if margin is not None and worse != 0:
        better, other = replace(better, score=margin), replace(other, score=0.0)
    return replace(made, responses=(better, other))


def _media(record: Mapping[str, Any], row: int) -> tuple[MediaRef, ...]:
    image, video = (None if record.get(name) == "" else record.get(name) for name in ("image", "video"))
    if image is not None and video is not None:
        raise RecordError("image_slot_mismatch", f"row {row} has both an image and a video, and one place for them")
    if video is None:
        if image is None:
            reason = "missing_media" if "image" in record or "video" in record else "missing_field"
            raise RecordError(reason, f"image or video in row {row} of {sorted(record)}")
        return image_turns.needed_media(record, "image", row)
    if not isinstance(video, str):
        raise fields.wrong_type("video", row, "the path of a video: a folder of frames, or a file", video)
    return (MediaRef(path=video, is_video=True),)


def _is_tie(record: Mapping[str, Any], row: int) -> bool:
    value = record.get("is_tie")
    if value is None:
        return False
    if not isinstance(value, int) or value not in (0, 1):
        raise RecordError("unparsable_label", f"is_tie in row {row} is {str(value)[:80]!r}, neither true nor false")
    return bool(value)


def _margin(record: Mapping[str, Any], row: int) -> float | None:
    if record.get("margin") is None:
        return None
    margin = fields.number(record, "margin", row)
    if not 0 <= margin < math.inf:
        raise RecordError("unparsable_label", f"margin in row {row} is {margin}: chosen should be the better answer")
    return margin
