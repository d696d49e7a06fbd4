"""SHP records: two comments on one post of a question forum, the one that readers voted higher is the better one.

::

    {"post_id": "qx7", "domain": "askbaking_train", "upvote_ratio": 0.98, "history": "Why did my bread sink? ...",
     "c_root_id_A": "h1", "c_root_id_B": "h2", "score_A": 12, "score_B": 3, "human_ref_A": "...", "human_ref_B": "...",
     "labels": 1, "seconds_difference": 120.0, "score_ratio": 4.0}

``labels`` is 1 where A is better and 0 where B is.

Awkward: ``post_id`` repeats, since one post gives many pairs and one comment stands in several; votes also follow the
time of posting, which the set answers by keeping only pairs whose better comment came later.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields, ratings

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("domain", "upvote_ratio", "c_root_id_?", "created_at_utc_?", "seconds_difference", "score_ratio")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One SHP record as a pair, in the order A, B, with the votes as scores where they are numbers.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (neither 0 nor 1).
    """
    label = fields.number(record, "labels", row)
    if label not in (0, 1):
        raise RecordError("unparsable_label", f"labels in row {row} is {label!r}, not 0 or 1")
    texts = [fields.text(record, name, row) for name in ("human_ref_A", "human_ref_B")]
    ranks = (0, 1) if label == 1 else (1, 0)
    scores = [ratings.parse_rating(record.get(name)) for name in ("score_A", "score_B")]
    return Comparison(
        id=fields.id_of(record, "post_id", row),
        source=source.name,
        prompt=(Turn("user", (fields.text(record, "history", row),)),),
        responses=tuple(Response((text,), rank, score) for text, rank, score in zip(texts, ranks, scores, strict=True)),
    )
