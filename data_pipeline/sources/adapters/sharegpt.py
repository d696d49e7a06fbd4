"""Pairs in the ShareGPT dialects that trainers such as LLaMA-Factory read; also MMIF-23k.

::

    {"conversations": [{"from": "human", "value": "<image>What is it?"}], "images": ["a.png"],
     "chosen": {"from": "gpt", "value": "A wren."}, "rejected": {"from": "gpt", "value": "A trout."}}
    {"messages": [{"role": "user", "content": "..."}], "chosen": {"role": "assistant", "content": "..."}, ...}
    {"chosen_messages": [{"role": "user", "content": [{"type": "text", "value": "..."}], "loss_weight": 0.0}, ...],
     "rejected_messages": [...]}

In the first two the dialogue stands apart from the answers, which may also be plain strings; in the third each side is
a whole dialogue, and the prompt is what both share before their last turn.

Awkward: a dialogue may begin with a system turn, and one copy keeps that text in ``system`` instead; two ``<image>``
tags may name one file twice; in the third dialect an image is an item ``{"type": "image_url", "value": path}`` among
the texts; sound and video files are not read (refused, ``unsupported_media``).
"""

from collections.abc import Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, MediaRef, Response, Turn
from data_pipeline.sources.parsing import content_parts, dialogue, fields, image_turns

__all__ = ["IRRELEVANT", "to_comparison"]

IRRELEVANT = ("*_messages.loss_weight",)

Item = str | MediaRef
Said = tuple[str, tuple[Item, ...]]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One pair under its dialogue, the chosen answer first.

    Raises:
        RecordError: missing_field, wrong_field_type, malformed_dialogue (an answer is not the assistant's, or
            the dialogue before it ends with one), prompts_differ, missing_media, broken_image, image_slot_mismatch,
            unsupported_media.
    """
    for name in ("videos", "audios"):
        if record.get(name):
            raise RecordError("unsupported_media", f"{name} in row {row}: only images are read")
    if "chosen_messages" in record:
        return _whole_dialogues(record, source, row)
    field = "messages" if "messages" in record and "conversations" not in record else "conversations"
    turns = (*_system(record, row), *image_turns.spoken_turns(fields.require(record, field, row), field, row))
    if turns and turns[-1].role == "assistant":
        raise RecordError("malformed_dialogue", f"{field} in row {row} ends with an answer, before chosen and rejected")
    images = "image" if "image" in record and "images" not in record else "images"
    media = fields.media_of(record.get(images), images, row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=image_turns.place_in_turns(image_turns.tags_to_slots(turns), len(media), row),
        responses=(
            Response((_answer(record, "chosen", row),), rank=0),
            Response((_answer(record, "rejected", row),), rank=1),
        ),
        media=media,
    )


def _system(record: Mapping[str, Any], row: int) -> tuple[Turn, ...]:
    if not record.get("system"):
        return ()
    return (Turn("system", (fields.text(record, "system", row),)),)


def _answer(record: Mapping[str, Any], field: str, row: int) -> str:
    value = fields.require(record, field, row)
    if isinstance(value, str):
        return value
    return dialogue.split_answer((image_turns.spoken_turn(value, field, row),), field, row)[1]


def _whole_dialogues(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    before, chosen = _split(record, "chosen_messages", row)
    other, rejected = _split(record, "rejected_messages", row)
    if before != other:
        raise RecordError("prompts_differ", f"row {row}: the dialogues part before the last answer")
    media: list[MediaRef] = []
    prompt = tuple(Turn(role, content_parts.with_inline_images(items, media)) for role, items in before)
    return content_parts.pair(prompt, (chosen, rejected), media, name=fields.id_of(record, "id", row), source=source)


def _split(record: Mapping[str, Any], field: str, row: int) -> tuple[list[Said], tuple[Item, ...]]:
    """(role and items of each turn before the last one, the items of the last one, which is the assistant's)."""
    value = fields.objects(fields.require(record, field, row), field, row, 'a list of {"role", "content"}')
    said = [(image_turns.role_of(fields.text(turn, "role", row)), _items(turn, field, row)) for turn in value]
    if not said or said[-1][0] != "assistant":
        roles = [role for role, _ in said]
        raise RecordError("malformed_dialogue", f"{field} in row {row} does not end with an assistant turn: {roles}")
    return said[:-1], said[-1][1]


def _items(turn: Mapping[str, Any], field: str, row: int) -> tuple[Item, ...]:
    content = fields.require(turn, "content", row)
    if isinstance(content, str):
        return (content,)
    content = fields.objects(content, f"{field}.content", row, "a string or a list of objects")
    items: list[Item] = []
    for item in content:
        kind = fields.text(item, "type", row)
        if kind == "text":
            items.append(fields.text(item, "value", row))
        elif kind == "image_url":
            items += image_turns.needed_media(item, "value", row)
        else:
            raise RecordError("unsupported_media", f"{field} in row {row}: an item of type {kind[:80]!r}")
    return tuple(items)
