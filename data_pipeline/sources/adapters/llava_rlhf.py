"""LLaVA-RLHF: a dialogue on one picture, two answers to its last question and which one people preferred.

::

    {"id": "7", "image": "7.jpg", "conversations": [{"from": "human", "value": "<image>\\nWhat is it?"},
                                                    {"from": "gpt", "value": "A small bird."}],
     "output_1": {"from": "llava", "value": "A trout."}, "output_2": {"from": "llava", "value": "A wren."},
     "preference": 2}

Awkward: the dialogue ends with the answer of the set that it was taken from, which nobody judged and which is left
out; ``output_1`` and ``output_2`` name their speaker freely, so that it is not read; image paths are COCO's.
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response
from data_pipeline.sources.parsing import dialogue, fields, image_turns

__all__ = ["to_comparison"]

_RANKS = {1: (0, 1), 2: (1, 0)}


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One LLaVA-RLHF record as a pair, in the order output_1, output_2.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (does not end with an answer),
            unparsable_label (``preference`` is neither 1 nor 2), missing_media, broken_image, image_slot_mismatch.
    """
    turns = image_turns.spoken_turns(fields.require(record, "conversations", row), "conversations", row)
    before, _ = dialogue.split_answer(turns, "conversations", row)
    media = image_turns.needed_media(record, "image", row)
    first, second = _ranks(record, row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=image_turns.place_in_turns(image_turns.tags_to_slots(before), len(media), row),
        responses=(
            Response(image_turns.spoken_turn(fields.require(record, "output_1", row), "output_1", row).parts, first),
            Response(image_turns.spoken_turn(fields.require(record, "output_2", row), "output_2", row).parts, second),
        ),
        media=media,
    )


def _ranks(record: Mapping[str, Any], row: int) -> tuple[int, int]:
    value = fields.require(record, "preference", row)
    if isinstance(value, bool) or not isinstance(value, int) or value not in _RANKS:
        raise RecordError("unparsable_label", f"preference in row {row} is {str(value)[:80]!r}, not 1 or 2")
    return _RANKS[value]
