"""Turns whose content is a list of parts, as TRL, Transformers and OpenAI write them, with pictures among the texts.

    {"role", "content"} --said_turns--> Said: texts, pictures that stand there, places of the record's own pictures
                        --placed-----> turns of a Comparison, every picture of the record in its place

A part is ``{"type": "text", "text"}``, ``{"type": "image"}`` (the record's next picture), the same with the picture in
it (``image``, ``path``, ``url``, ``bytes`` or ``base64``), or ``{"type": "image_url", "image_url": {"url"}}`` (also the
url alone, and the names ``input_text``, ``output_text`` and ``input_image``). Content may be plain text: its
``<image>`` tags are places too.
"""

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Response, Turn
from data_pipeline.sources.parsing import fields, image_turns

__all__ = [
    "Answer", "Item", "NextImage", "Said", "answer_items", "pair", "placed", "said_turns", "split_dialogue",
    "with_inline_images",
]  # fmt: skip


class NextImage(Enum):
    """The place of a picture that the record lists beside its turns."""

    HERE = "the next of the record"


Item = str | MediaRef | NextImage


Answer = tuple[str | MediaRef, ...]
"""Texts and pictures of a response."""


class Said(NamedTuple):
    """A turn before its pictures are numbered."""

    role: str
    items: tuple[Item, ...]


_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image", "image_url", "input_image")
_INLINE = ("image", "path", "url", "bytes", "base64")


def said_turns(value: object, field: str, row: int) -> tuple[Said, ...]:
    """The turns of a list of ``{"role", "content"}``; ``<image>`` tags of plain contents are places of pictures.

    Raises:
        RecordError: missing_field or wrong_field_type, named by turn as in ``prompt[2].content``; missing_media,
            broken_image; unsupported_media (a part of sound or video).
    """
    turns = fields.objects(value, field, row, 'a list of {"role", "content"}')
    return tuple(_said(turn, f"{field}[{place}]", row) for place, turn in enumerate(turns))


def answer_items(value: object, field: str, row: int) -> Answer:
    """What an assistant's turn says; tags in its texts are plain text, and its pictures stand in its parts.

    Raises:
        RecordError: as `said_turns`; malformed_dialogue (another speaker); image_slot_mismatch (a place without its
            picture: which of the record's were meant is not said).
    """
    turn = fields.objects([value], field, row, 'a turn {"role", "content"}')[0]
    role = fields.text(turn, "role", row)
    if role != "assistant":
        raise RecordError("malformed_dialogue", f"{field} in row {row} does not end with an assistant turn: {role!r}")
    content = fields.require(turn, "content", row)
    items: list[str | MediaRef] = []
    for item in (content,) if isinstance(content, str) else _items(content, f"{field}.content", row):
        if isinstance(item, NextImage):
            raise RecordError("image_slot_mismatch", f"{field} in row {row}: an image part of an answer names no image")
        items.append(item)
    return tuple(items)


def placed(turns: Sequence[Said], media: list[MediaRef], row: int) -> tuple[Turn, ...]:
    """The turns with numbered pictures; those that stand in parts are added to `media`, the record's own.

    The record's own stand at their places, in order; without any place, before the text of the first user turn.

    Raises:
        RecordError: image_slot_mismatch: another number of places than of pictures, or no user turn to hold them.
    """
    own = len(media)
    places = sum(item is NextImage.HERE for turn in turns for item in turn.items)
    if places and places != own:
        raise RecordError("image_slot_mismatch", f"row {row}: {places} image places for {own} images")
    used = 0
    made: list[Turn] = []
    for turn in turns:
        parts: list[Part] = []
        for item in turn.items:
            if item is NextImage.HERE:
                parts.append(ImageSlot(used))
                used += 1
            else:
                parts += with_inline_images((item,), media)
        made.append(Turn(turn.role, tuple(parts)))
    return tuple(made) if places else image_turns.before_the_text(made, own, row)


def split_dialogue(value: object, field: str, row: int) -> tuple[tuple[Said, ...], Answer]:
    """(the turns before the last one, what the last one says) of a list of ``{"role", "content"}``.

    Raises:
        RecordError: as `said_turns` and `answer_items`; malformed_dialogue (there are no turns).
    """
    turns = fields.objects(value, field, row, 'a list of {"role", "content"}')
    if not turns:
        raise RecordError("malformed_dialogue", f"{field} in row {row} has no turns")
    return said_turns(turns[:-1], field, row), answer_items(turns[-1], field, row)


def pair(
    prompt: tuple[Turn, ...],
    answers: tuple[Answer, Answer],
    media: list[MediaRef],
    *,
    name: str,
    source: SourceConfig,
    scores: tuple[float | None, float | None] = (None, None),
) -> Comparison:
    """The Comparison of a better and a worse answer; the pictures in them are added to `media`."""
    parts = [with_inline_images(answer, media) for answer in answers]
    responses = tuple(Response(said, rank, score) for rank, (said, score) in enumerate(zip(parts, scores, strict=True)))
    return Comparison(id=name, source=source.name, prompt=prompt, responses=responses, media=tuple(media))


def with_inline_images(items: Sequence[str | MediaRef], media: list[MediaRef]) -> tuple[Part, ...]:
    """The items with each picture replaced by its slot; the pictures are added to `media`."""
    parts: list[Part] = []
    for item in items:
        if isinstance(item, str):
            parts.append(item)
        else:
            parts.append(ImageSlot(len(media)))
            media.append(item)
    return tuple(parts)


def _said(turn: Mapping[str, Any], where: str, row: int) -> Said:
    for key in ("role", "content"):
        if key not in turn:
            raise RecordError("missing_field", f"{where}.{key} in row {row} of {sorted(turn)}")
    if not isinstance(turn["role"], str):
        raise fields.wrong_type(f"{where}.role", row, "a string", turn["role"])
    content = turn["content"]
    if isinstance(content, str):
        pieces = fields.split_at_tags(content)
        items: tuple[Item, ...] = tuple(NextImage.HERE if isinstance(one, ImageSlot) else one for one in pieces)
    else:
        items = _items(content, f"{where}.content", row)
    return Said(turn["role"], items)


def _items(content: object, where: str, row: int) -> tuple[Item, ...]:
    parts = fields.objects(content, where, row, "a string or a list of parts")
    return tuple(_item(part, f"{where}[{place}]", row) for place, part in enumerate(parts))


def _item(part: Mapping[str, Any], where: str, row: int) -> Item:
    kind = fields.text(part, "type", row)
    if kind in _TEXTS:
        return fields.text(part, "text", row)
    if kind not in _IMAGES:
        raise RecordError(
            "unsupported_media", f"{where} in row {row}: a part of type {kind[:80]!r}; text and image are read"
        )
    if "image_url" in part:
        return _linked(part, where, row)
    for name in _INLINE:
        if name in part:
            value = f"data:;base64,{part[name]}" if name == "base64" else part[name]
            return image_turns.needed_media({name: value}, name, row)[0]
    if kind != "image":
        raise RecordError("missing_media", f"{where}.image_url in row {row} of {sorted(part)}")
    return NextImage.HERE


def _linked(part: Mapping[str, Any], where: str, row: int) -> MediaRef:
    link = part["image_url"]
    if isinstance(link, Mapping):
        link.get("detail")  # how finely OpenAI's servers look at it
        link = fields.text(link, "url", row)
    if not isinstance(link, str):
        raise fields.wrong_type(f"{where}.image_url", row, 'a string or {"url"}', link)
    return image_turns.needed_media({"image_url": link}, "image_url", row)[0]
