r"""RLHF-V parquet rows: one picture inside the row, question and answers inside a string.

::

    {"ds_name": "RLHF-V", "image": {"bytes": b"\xff\xd8...", "path": "llava/7.jpg"}, "idx": 0, "image_path": "...",
     "text": "{\"question\": \"What is it?\", \"chosen\": \"...\", \"rejected\": \"...\"}", "origin_dataset": "..."}

Awkward: ``text`` is JSON inside a string; the image's own path names a file that is not shipped, so its bytes are
what counts; the rejected answer differs from the chosen one in a few corrected words only.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("ds_name", "origin_dataset", "origin_split", "image_path")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One RLHF-V row as a pair.

    Raises:
        RecordError: missing_field, wrong_field_type (``text`` is no JSON object), missing_media, broken_image,
            image_slot_mismatch.
    """
    words = fields.parsed_json(record, "text", row, "JSON")
    if not isinstance(words, Mapping):
        raise fields.wrong_type("text", row, "a JSON object in a string", words)
    return image_turns.one_question(
        fields.text(words, "question", row),
        image_turns.needed_media(record, "image", row),
        [(fields.text(words, "chosen", row), 0), (fields.text(words, "rejected", row), 1)],
        name=fields.id_of(record, "idx", row),
        source=source,
        row=row,
    )
