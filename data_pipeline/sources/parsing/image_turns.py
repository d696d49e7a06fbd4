"""Prompts with images: where the pictures of a record stand in its turns, and the pair of one question."""

from collections.abc import Mapping, Sequence
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Part, Response, Turn
from data_pipeline.sources.parsing import fields

__all__ = [
    "before_the_text",
    "needed_media",
    "one_question",
    "place_in_turns",
    "role_of",
    "spoken_turn",
    "spoken_turns",
    "tags_to_slots",
]

_ROLES = {"human": "user", "gpt": "assistant"}


def one_question(
    question: str,
    media: tuple[MediaRef, ...],
    answers: Sequence[tuple[str, int]],
    *,
    name: str,
    source: SourceConfig,
    row: int,
) -> Comparison:
    """One user turn, its images at its ``<image>`` tags or before it, and answers as (text, rank).

    Raises:
        RecordError: image_slot_mismatch.
    """
    return Comparison(
        id=name,
        source=source.name,
        prompt=(Turn("user", fields.place_images(question, len(media), row)),),
        responses=tuple(Response((text,), rank) for text, rank in answers),
        media=media,
    )


def spoken_turns(value: object, field: str, row: int) -> tuple[Turn, ...]:
    """The turns of ``[{"from": "human", "value": "Hi"}, ...]`` or of ``[{"role", "content"}, ...]``; text only.

    "human" is the user and "gpt" the assistant; other roles are checked later, by `records.checks`.

    Raises:
        RecordError: missing_field or wrong_field_type; the detail names the turn, as in ``conversations[2]``.
    """
    if not isinstance(value, list):
        raise fields.wrong_type(field, row, 'a list of {"from", "value"} or {"role", "content"}', value)
    return tuple(spoken_turn(turn, f"{field}[{place}]", row) for place, turn in enumerate(value))


def spoken_turn(value: object, where: str, row: int) -> Turn:
    """The turn of ``{"from", "value"}`` or ``{"role", "content"}``, wherever it stands in the record.

    Raises:
        RecordError: missing_field or wrong_field_type.
    """
    if not isinstance(value, Mapping):
        raise fields.wrong_type(where, row, 'an object {"from", "value"} or {"role", "content"}', value)
    speaker, words = ("role", "content") if "role" in value else ("from", "value")
    texts = []
    for key in (speaker, words):
        if key not in value:
            raise RecordError("missing_field", f"{where}.{key} in row {row} of {sorted(value)}")
        if not isinstance(value[key], str):
            raise fields.wrong_type(f"{where}.{key}", row, "a string", value[key])
        texts.append(value[key])
    return Turn(role_of(texts[0]), (texts[1],))


def role_of(speaker: str) -> str:
    """The role of a speaker: "human" is the user, "gpt" the assistant, others are their own."""
    return _ROLES.get(speaker, speaker)


def tags_to_slots(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns with their ``<image>`` tags turned to slots, counted over the whole dialogue."""
    made: list[Turn] = []
    num_slots = 0
    for turn in turns:
        parts: list[Part] = []
        for part in turn.parts:
            pieces = fields.split_at_tags(part, num_slots) if isinstance(part, str) else (part,)
            num_slots += sum(isinstance(piece, ImageSlot) for piece in pieces)
            parts += pieces
        made.append(Turn(turn.role, tuple(parts)))
    return tuple(made)


def place_in_turns(turns: Sequence[Turn], num_images: int, row: int) -> tuple[Turn, ...]:
    """The turns as they are where they hold slots; else with all images before the text of the first user turn.

    Raises:
        RecordError: image_slot_mismatch: another number of slots than of images, or no user turn to hold them.
    """
    num_slots = sum(isinstance(part, ImageSlot) for turn in turns for part in turn.parts)
    if num_slots and num_slots != num_images:
        raise RecordError("image_slot_mismatch", f"row {row}: {num_slots} image places for {num_images} images")
    return tuple(turns) if num_slots else before_the_text(turns, num_images, row)


def before_the_text(turns: Sequence[Turn], num_images: int, row: int) -> tuple[Turn, ...]:
    """The turns with the first `num_images` images before the text of the first user turn.

    Raises:
        RecordError: image_slot_mismatch: there is no user turn to hold them.
    """
    if num_images == 0:
        return tuple(turns)
    user = next((i for i, turn in enumerate(turns) if turn.role == "user"), None)
    if user is None:
        raise RecordError("image_slot_mismatch", f"row {row}: {num_images} images and no user turn to hold them")
    images = tuple(ImageSlot(i) for i in range(num_images))
    return (*turns[:user], Turn("user", (*images, *turns[user].parts)), *turns[user + 1 :])


def needed_media(record: Mapping[str, Any], field: str, row: int) -> tuple[MediaRef, ...]:
    """The images of a field that must be there and name at least one.

    Raises:
        RecordError: missing_field, missing_media, wrong_field_type, broken_image.
    """
    media = fields.media_of(fields.require(record, field, row), field, row)
    if not media:
        raise RecordError("missing_media", f"{field} in row {row} is empty")
    return media
