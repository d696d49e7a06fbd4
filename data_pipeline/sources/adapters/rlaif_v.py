"""RLAIF-V parquet rows: one picture inside the row, one better and one worse answer.

::

    {"ds_name": "RLAIF-V", "image": {"bytes": b"\\xff\\xd8...", "path": "llava1.5/1.jpg"}, "question": "What ...?",
     "chosen": "...", "rejected": "...", "origin_dataset": "...", "origin_split": "{...}", "idx": 0, "image_path": ...}

Awkward: the image's own path names a file that is not shipped, so its bytes are what counts; ``idx`` repeats across
the parquet files of the set; ``origin_split`` is JSON inside a string and is not read.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("ds_name", "origin_dataset", "origin_split", "image_path")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One RLAIF-V row as a pair.

    Raises:
        RecordError: missing_field, wrong_field_type, missing_media, image_slot_mismatch.
    """
    media = fields.media_of(fields.require(record, "image", row), "image", row)
    if not media:
        raise RecordError("missing_media", f"image in row {row} is empty")
    question = fields.text(record, "question", row)
    return Comparison(
        id=fields.id_of(record, "idx", row),
        source=source.name,
        prompt=(Turn("user", fields.place_images(question, len(media), row)),),
        responses=(
            Response((fields.text(record, "chosen", row),), rank=0),
            Response((fields.text(record, "rejected", row),), rank=1),
        ),
        media=media,
    )
