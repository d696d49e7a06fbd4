"""HelpSteer3 preferences: a dialogue, two answers, and how much better the one is, from -3 to 3.

::

    {"domain": "general", "language": "english", "context": [{"role": "user", "content": "Plan a walk."}],
     "response1": "...", "response2": "...", "overall_preference": -2,
     "individual_preference": [{"score": -2, "reasoning": "...", "feedback1": "...", "feedback2": "..."}, ...]}

A negative ``overall_preference`` means that response 1 is better, 0 is a tie; its size is not read, nor are the votes
of single people in ``individual_preference``.

Awkward: no id; the dialogue may be long, and ends with a user turn.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response
from data_pipeline.sources.parsing import dialogue, fields

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("domain", "language", "individual_preference")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One HelpSteer3 record as a pair, in the order response 1, response 2.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (not within -3 to 3).
    """
    preference = fields.number(record, "overall_preference", row)
    if not -3 <= preference <= 3:
        raise RecordError("unparsable_label", f"overall_preference in row {row} is {preference}, not -3 to 3")
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=dialogue.turns_of(fields.require(record, "context", row), "context", row),
        responses=(
            Response((fields.text(record, "response1", row),), rank=int(preference > 0)),
            Response((fields.text(record, "response2", row),), rank=int(preference < 0)),
        ),
    )
