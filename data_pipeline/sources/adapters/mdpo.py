"""mDPO: one picture and a pair, the prompt written out in the chat template of LLaVA 1.5.

::

    {"img_path": "7.jpg", "chosen": "A wren.", "rejected": "A trout.",
     "prompt": "A chat between a curious user and ... USER: <image>\\nWhat is it? ASSISTANT:"}

The turns are what stands behind each ``USER:`` and ``ASSISTANT:``. What stands before the first one is the system
sentence that this template always has, and is left out with it; so is the ``ASSISTANT:`` that asks for the answer.

Awkward: a turn that quotes such a mark can't be told from two turns (refused, ``malformed_dialogue``, where user and
assistant do not alternate); a turn may end with the closing token ``</s>``.
"""

import re
from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, Response, Turn
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["to_comparison"]

_SPEAKER = re.compile(r"\b(USER|ASSISTANT):")
_ROLES = {"USER": "user", "ASSISTANT": "assistant"}


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One mDPO record as a pair under its dialogue.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue, missing_media, broken_image,
            image_slot_mismatch.
    """
    turns = image_turns.tags_to_slots(_turns(fields.text(record, "prompt", row), row))
    media = image_turns.needed_media(record, "img_path", row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=image_turns.place_in_turns(turns, len(media), row),
        responses=(
            Response((fields.text(record, "chosen", row),), rank=0),
            Response((fields.text(record, "rejected", row),), rank=1),
        ),
        media=media,
    )


def _turns(prompt: str, row: int) -> list[Turn]:
    """The turns of "Hello. USER: hi ASSISTANT:": what `re.split` gives is [before, speaker, text, ...]."""
    _, *pieces = _SPEAKER.split(prompt)
    turns = [
        Turn(_ROLES[who], (what.strip().removesuffix("</s>").strip(),))
        for who, what in zip(pieces[0::2], pieces[1::2], strict=True)
    ]
    if turns and turns[-1] == Turn("assistant", ("",)):
        turns.pop()
    roles = [turn.role for turn in turns]
    if len(roles) % 2 == 0 or roles != ["user", "assistant"] * (len(roles) // 2) + ["user"]:
        raise RecordError("malformed_dialogue", f"prompt in row {row} has the speakers {roles[:9]}: {prompt[:80]!r}")
    return turns
