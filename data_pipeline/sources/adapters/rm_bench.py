"""RM-Bench items: one prompt, a right and a wrong answer, each in three styles. A benchmark, as RewardBench.

::

    {"id": 8, "subset": "alpacaeval", "prompt": "Name two rivers.",
     "chosen": ["short", "detailed, plain", "detailed, markdown"], "rejected": ["short", "...", "..."], "error": "..."}

One Comparison of six answers and two ranks: the three of ``chosen``, then the three of ``rejected``, each in the order
concise, detailed plain, detailed markdown, so that its nine ordered pairs are the benchmark's 3 x 3 table.

Awkward: an id counts within its domain only, and the domain is the name of the file (``chat_filtered.json``) or, in the
file of all, the field ``domain``; further fields differ by domain and are not read.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields

__all__ = ["IRRELEVANT", "NUM_STYLES", "to_comparison"]

IRRELEVANT = ("subset", "domain", "error_key", "error", "language", "task_id")

NUM_STYLES = 3


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One RM-Bench item as a Comparison of six.

    Raises:
        RecordError: missing_field, wrong_field_type (other than three strings a side).
    """
    chosen, rejected = _styles(record, "chosen", row), _styles(record, "rejected", row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(Turn("user", (fields.text(record, "prompt", row),)),),
        responses=(
            *(Response((text,), rank=0) for text in chosen),
            *(Response((text,), rank=1) for text in rejected),
        ),
    )


def _styles(record: Mapping[str, Any], field: str, row: int) -> list[str]:
    value = fields.require(record, field, row)
    if not isinstance(value, list) or len(value) != NUM_STYLES or not all(isinstance(text, str) for text in value):
        raise fields.wrong_type(field, row, f"a list of {NUM_STYLES} strings", value)
    return value
