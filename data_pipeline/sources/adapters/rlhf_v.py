r"""RLHF-V parquet rows: one picture inside the row, question and answers inside a string.

::

    {"ds_name": "RLHF-V", "image": {"bytes": b"\xff\xd8...", "path": "llava/7.jpg"}, "idx": 0, "image_path": "...",
     "text": "{\"question\": \"What is it?\", \"chosen\": \"...\", \"rejected\": \"...\"}", "origin_dataset": "..."}

Awkward: ``text`` is JSON inside a string; the image's own path names a file that is not shipped, so its bytes are
what counts; the rejected answer differs from the chosen one in a few corrected words only.
"""

import json
from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["to_comparison"]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One RLHF-V row as a pair.

    Raises:
        RecordError: missing_field, wrong_field_type (``text`` is no JSON object), missing_media, broken_image,
            image_slot_mismatch.
    """
    words = _words(fields.text(record, "text", row), row)
    return image_turns.one_question(
        fields.text(words, "question", row),
        image_turns.needed_media(record, "image", row),
        [(fields.text(words, "chosen", row), 0), (fields.text(words, "rejected", row), 1)],
        name=fields.id_of(record, "idx", row),
        source=source,
        row=row,
    )


def _words(text: str, row: int) -> Mapping[str, Any]:
    try:
        words = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise fields.wrong_type("text", row, f"JSON in a string ({error})", text) from error
    if not isinstance(words, Mapping):
        raise fields.wrong_type("text", row, "a JSON object in a string", words)
    return words
