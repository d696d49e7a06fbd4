"""PKU-SafeRLHF records: two answers with two labels, which one helps more and which one is safer.

::

    {"prompt": "How do I open a lock?", "response_0": "...", "response_1": "...", "prompt_source": "...",
     "is_response_0_safe": true, "is_response_1_safe": false, "better_response_id": 1, "safer_response_id": 0, ...}

`SourceConfig.score_field` says which label counts: ``better`` (also where it keeps its default) or ``safer``.

Awkward: the two labels often contradict each other, on purpose. One source reads one of them; two sources that read
both show exact duplicates wherever the labels agree, and the second of those is dropped. The text may offend.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = (
    "is_response_?_safe",
    "better_response_id",
    "safer_response_id",
    "prompt_source",
    "response_?_source",
    "response_?_severity_level",
    "response_?_harm_category",
    "response_?_sha256",
)


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One PKU-SafeRLHF record as a pair, in the order of the record.

    Raises:
        RecordError: missing_field (also where `score_field` names no label of the record), wrong_field_type,
            unparsable_label (neither 0 nor 1).
    """
    label = "better" if source.score_field == "aspects" else source.score_field
    winner = fields.number(record, f"{label}_response_id", row)
    if winner not in (0, 1):
        raise RecordError("unparsable_label", f"{label}_response_id in row {row} is {winner!r}, not 0 or 1")
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(Turn("user", (fields.text(record, "prompt", row),)),),
        responses=tuple(
            Response((fields.text(record, f"response_{place}", row),), rank=int(place != winner)) for place in (0, 1)
        ),
    )
