"""Multimodal RewardBench: one picture, two outputs and which one is better.

::

    {"ID": "nocaps_7", "Text": "Describe the picture.", "Image": "images/nocaps/7.jpg", "Output1": "...",
     "Output2": "...", "Better": "Output2", "Category": "open_generation/correctness_task"}

Awkward: the benchmark's script fills ``Text`` and the pictures in later, and prediction files (``Label``, ``output``)
have the same ids but no answers (refused, ``missing_field``).
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("Category",)

_RANKS = {"Output1": (0, 1), "Output2": (1, 0)}


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One item as a pair, in the order Output1, Output2.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (``Better`` names no output), missing_media,
            broken_image, image_slot_mismatch.
    """
    better = fields.text(record, "Better", row)
    if better not in _RANKS:
        raise RecordError("unparsable_label", f"Better in row {row} is {better[:80]!r}, not Output1 or Output2")
    texts = [fields.text(record, name, row) for name in ("Output1", "Output2")]
    return image_turns.one_question(
        fields.text(record, "Text", row),
        image_turns.needed_media(record, "Image", row),
        list(zip(texts, _RANKS[better], strict=True)),
        name=fields.id_of(record, "ID", row),
        source=source,
        row=row,
    )
