"""VL-RewardBench: one picture, two answers and the rank of each.

::

    {"id": "hallucination_pair-7", "query": "How many cups?", "response": ["Two.", "Three."], "human_ranking": [1, 0],
     "image": "images/hallucination_pair-7.png", "models": ["gpt", "gpt"], "judge": "human", "query_source": "..."}

``human_ranking[i]`` is the rank of response i; 0 is best. ``image`` is a path in the JSON list and ``{"bytes",
"path"}`` in the parquet copy.

Awkward, counted in the 1,250 items: the first response is the better one in 1,245, so that whoever always says "first"
is right; 25 ids stand twice, on other answers, so an id is no key.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, ranks_from_scores
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("models", "judge", "rationale", "query_source", "ground_truth")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One item as a Comparison, its answers in the record's order.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label (no rank a response), missing_media,
            broken_image, image_slot_mismatch.
    """
    texts = fields.require(record, "response", row)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise fields.wrong_type("response", row, "a list of strings", texts)
    return image_turns.one_question(
        fields.text(record, "query", row),
        image_turns.needed_media(record, "image", row),
        list(zip(texts, _ranks(record, len(texts), row), strict=True)),
        name=fields.id_of(record, "id", row),
        source=source,
        row=row,
    )


def _ranks(record: Mapping[str, Any], num_responses: int, row: int) -> tuple[int, ...]:
    value = fields.require(record, "human_ranking", row)
    if not isinstance(value, list) or not all(isinstance(one, int) and not isinstance(one, bool) for one in value):
        raise fields.wrong_type("human_ranking", row, "a list of integers", value)
    if len(value) != num_responses or num_responses < 2:
        raise RecordError("unparsable_label", f"human_ranking in row {row}: {value} for {num_responses} responses")
    try:
        return ranks_from_scores([-rank for rank in value])
    except OverflowError as error:
        raise RecordError("unparsable_label", f"human_ranking in row {row}: {error}") from error
