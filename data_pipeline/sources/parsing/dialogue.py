"""Dialogues as lists of ``{"role", "content"}``: what the message-list sets have in common. Text only."""

from collections.abc import Mapping
from typing import Any

from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Turn, text_of
from data_pipeline.sources.parsing import fields

__all__ = ["shared_prompt", "split_answer", "turns_of"]


def turns_of(value: object, field: str, row: int) -> tuple[Turn, ...]:
    """The turns of ``[{"role": "user", "content": "Hi"}, ...]``; roles are checked later, by `records.checks`.

    Raises:
        RecordError: missing_field or wrong_field_type; the detail names the turn, as in ``chosen[2].content``.
    """
    value = fields.objects(value, field, row, 'a list of {"role", "content"}')
    return tuple(
        Turn(_text(turn, "role", f"{field}[{place}]", row), (_text(turn, "content", f"{field}[{place}]", row),))
        for place, turn in enumerate(value)
    )


def split_answer(turns: tuple[Turn, ...], field: str, row: int) -> tuple[tuple[Turn, ...], str]:
    """(the turns before the last one, the text of the last one).

    Raises:
        RecordError: the last turn is not the assistant's, or there is none (``"malformed_dialogue"``).
    """
    if not turns or turns[-1].role != "assistant":
        roles = [turn.role for turn in turns]
        raise RecordError("malformed_dialogue", f"{field} in row {row} does not end with an assistant turn: {roles}")
    return turns[:-1], text_of(turns[-1].parts)


def shared_prompt(first: tuple[Turn, ...], second: tuple[Turn, ...], row: int) -> tuple[Turn, ...]:
    """The turns before both answers, which must be the same: else there is no common prompt to judge under.

    Raises:
        RecordError: they differ (``"prompts_differ"``); the detail names the first turn that does.
    """
    if first != second:
        place = next((i for i, (a, b) in enumerate(zip(first, second, strict=False)) if a != b), None)
        where = f"at turn {place}" if place is not None else f"in length, {len(first)} and {len(second)} turns"
        raise RecordError("prompts_differ", f"row {row}: the dialogues part before the last answer, {where}")
    return first


def _text(turn: Mapping[str, Any], key: str, where: str, row: int) -> str:
    if key not in turn:
        raise RecordError("missing_field", f"{where}.{key} in row {row} of {sorted(turn)}")
    value = turn[key]
    if not isinstance(value, str):
        raise fields.wrong_type(f"{where}.{key}", row, "a string", value)
    return value
