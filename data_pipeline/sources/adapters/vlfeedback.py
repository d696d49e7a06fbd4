"""VLFeedback records: one picture, K = 4 completions, each rated 1-5 on three aspects by a judge model.

::

    {"id": "svit-conversation-7", "prompt": "What ...?", "img_path": "merged_images/7.jpg", "models": ["llava", ...],
     "completions": [{"model": "llava", "response": "...", "annotations": {
         "Helpfulness": {"Rating": "4", "Rationale": "..."}, "Visual Faithfulness": {"Rating": "5", ...},
         "Ethical Considerations": {"Rating": "5", ...}}}, ... 4 in all]}

Awkward: ratings are text and may be no number ("N/A"); the parquet copy has the picture as ``image`` with its bytes,
and its completions by column (``{"response": [4], "annotations": [4]}``). The set fixes no pairs: every two
completions whose mean ratings differ are one, equal means are ties.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Turn
from data_pipeline.sources.parsing import fields, ratings

__all__ = ["ASPECTS", "IRRELEVANT", "to_comparison"]

IRRELEVANT = ("models", "completions.model", "completions.annotations.*.Rationale")

ASPECTS = ("Helpfulness", "Visual Faithfulness", "Ethical Considerations")


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One VLFeedback record with its completions ranked by mean rating.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label, missing_media, image_slot_mismatch.
    """
    image_field = "img_path" if "img_path" in record else "image"
    media = fields.media_of(fields.require(record, image_field, row), image_field, row)
    if not media:
        raise RecordError("missing_media", f"{image_field} in row {row} is empty")
    completions = ratings.completions_of(record, row)
    prompt = fields.text(record, "prompt", row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(Turn("user", fields.place_images(prompt, len(media), row)),),
        responses=ratings.rated_responses(completions, lambda one: ratings.mean_rating(one, ASPECTS, row), row),
        media=media,
    )
