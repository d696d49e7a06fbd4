"""RewardBench items: a prompt, a better and a worse answer, by subset. A benchmark: to evaluate, or to keep clear of.

::

    {"id": 31, "prompt": "Sort these words.", "chosen": "...", "chosen_model": "...", "rejected": "...",
     "rejected_model": "...", "subset": "alpacaeval-easy"}

Awkward: ids count over all subsets; ``subset`` decides the section that an item counts for, and is not read here.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("chosen_model", "rejected_model", "subset")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One RewardBench item as a pair.

    Raises:
        RecordError: missing_field, wrong_field_type.
    """
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(Turn("user", (fields.text(record, "prompt", row),)),),
        responses=(
            Response((fields.text(record, "chosen", row),), rank=0),
            Response((fields.text(record, "rejected", row),), rank=1),
        ),
    )
