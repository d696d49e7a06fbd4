"""POVID: one picture and two whole dialogues on it, the second with a hallucination put in.

::

    {"id": "COCO_train2014_7", "image": "COCO_train2014_7.jpg",
     "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"}, {"from": "gpt", "value": "A wren."}],
     "rejected_conversations": [{"from": "human", "value": "<image>\\nWhat is it?"}, {"from": "gpt", "value": "..."}]}

The prompt is what both dialogues share before their last turn.

Awkward: dialogues that part earlier have no common prompt (refused, ``prompts_differ``); paths name files of another
set (COCO), so that ``media_root`` is needed.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import dialogue, fields, image_turns

__all__ = ["to_comparison"]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One POVID record as a pair under its common dialogue.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue, prompts_differ, missing_media, broken_image,
            image_slot_mismatch.
    """
    before_chosen, chosen = _side(record, "conversations", row)
    before_rejected, rejected = _side(record, "rejected_conversations", row)
    shared = image_turns.tags_to_slots(dialogue.shared_prompt(before_chosen, before_rejected, row))
    media = image_turns.needed_media(record, "image", row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=image_turns.place_in_turns(shared, len(media), row),
        responses=(Response((chosen,), rank=0), Response((rejected,), rank=1)),
        media=media,
    )


def _side(record: Mapping[str, Any], field: str, row: int) -> tuple[tuple[Turn, ...], str]:
    turns = image_turns.spoken_turns(fields.require(record, field, row), field, row)
    return dialogue.split_answer(turns, field, row)
