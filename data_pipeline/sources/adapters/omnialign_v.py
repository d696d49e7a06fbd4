"""OmniAlign-V-DPO: long answers on charts, diagrams, posters and photographs.

::

    {"id": "chart_7", "image": "images/chart/7.png", "prompt": "What does the chart say?", "chosen": "...",
     "rejected": "..."}

The rejected answer is the worst of several samples of one model.

Awkward: ``image`` is a path or a list of paths into an archive that is shipped apart; the prompt stands in ``prompt``
in some files and in ``question`` in others.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["to_comparison"]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One OmniAlign-V record as a pair.

    Raises:
        RecordError: missing_field, wrong_field_type, missing_media, broken_image, image_slot_mismatch.
    """
    question = "question" if "question" in record and "prompt" not in record else "prompt"
    return image_turns.one_question(
        fields.text(record, question, row),
        image_turns.needed_media(record, "image", row),
        [(fields.text(record, "chosen", row), 0), (fields.text(record, "rejected", row), 1)],
        name=fields.id_of(record, "id", row),
        source=source,
        row=row,
    )
