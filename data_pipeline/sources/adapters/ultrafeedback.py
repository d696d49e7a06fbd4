"""UltraFeedback records: text only, K = 4 completions, each rated 1-5 on four aspects by a judge model.

::

    {"source": "evol_instruct", "instruction": "...", "models": ["gpt-4", ...], "correct_answers": [...],
     "completions": [{"model": "gpt-4", "response": "...", "custom_system_prompt": "...", "principle": "helpfulness",
         "annotations": {"instruction_following": {"Rating": "4", "Rationale": "..."}, "honesty": {...},
                         "truthfulness": {...}, "helpfulness": {...}},
         "critique": "...", "overall_score": 7.5, "fine-grained_score": 4.25}, ... 4 in all]}

Awkward: no id; a rating may be "N/A"; each completion was made under its own system prompt, which is not part of the
question and is not read; ``overall_score`` comes from the critique, on another scale (1-10), and is known to be wrong
where a critique of 1 was stored as 10, hence the mean of the aspects by default (`SourceConfig.score_field`).
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison, Turn
from data_pipeline.sources.parsing import fields, ratings

__all__ = ["ASPECTS", "IRRELEVANT", "to_comparison"]

IRRELEVANT = (
    "source",
    "models",
    "correct_answers",
    "incorrect_answers",
    "completions.model",
    "completions.custom_system_prompt",
    "completions.principle",
    "completions.annotations",
    "completions.annotations.*",
    "completions.overall_score",
    "completions.fine-grained_score",
)

ASPECTS = ("instruction_following", "honesty", "truthfulness", "helpfulness")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One UltraFeedback record with its completions ranked by `source.score_field`.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label.
    """

    def score_of(completion: Mapping[str, Any]) -> float | None:
        if source.score_field == "aspects":
            return ratings.mean_rating(completion, ASPECTS, row)
        return ratings.parse_rating(fields.require(completion, source.score_field, row))

    instruction = fields.text(record, "instruction", row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(Turn("user", (instruction,)),),
        responses=ratings.rated_responses(ratings.completions_of(record, row), score_of, row),
    )
