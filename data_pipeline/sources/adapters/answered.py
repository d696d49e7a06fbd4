"""Questions with their right answers: what reinforcement learning asks a policy.

Names by `FieldMap` (``prompt``, ``image``, ``options``, ``answer``)::

    {"prompt": "<image>What colour is the bus?", "image": "images/bus.jpg", "answer": "red"}
    {"prompt": "Which curve is steeper?", "image": "a.png", "options": ["A) red", "B) blue"], "answer": "B"}

Options stand below the question, a line each, as their record writes them. An answer may be a number.

Awkward: a Comparison of this shape has one response, so that preprocessing refuses it (``fewer_than_two_responses``);
`basereward rl` reads it.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.records.comparison import Comparison, ImageSlot, Turn
from data_pipeline.sources.adapters import jsonl
from data_pipeline.sources.parsing import fields

__all__ = ["to_comparison"]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One question as a Comparison whose only response is the right answer.

    Raises:
        RecordError: missing_field, wrong_field_type, image_slot_mismatch, missing_media, broken_image.
    """
    names = source.fields
    answer = fields.require(record, names.answer, row)
    if isinstance(answer, bool) or not isinstance(answer, str | int | float):
        raise fields.wrong_type(names.answer, row, "a text or a number", answer)
    given = {name: record[name] for name in (names.id, names.prompt, names.image) if name in record}
    asked = jsonl.to_unranked({**given, names.responses: [str(answer)]}, source, row)
    return replace(asked, prompt=_with_options(asked.prompt, record.get(names.options), names.options, row))


def _with_options(prompt: tuple[Turn, ...], options: object, field: str, row: int) -> tuple[Turn, ...]:
    if options is None:
        return prompt
    if not isinstance(options, list) or not options or not all(isinstance(one, str) for one in options):
        raise fields.wrong_type(field, row, "a list of one or more texts", options)
    if not prompt:
        return prompt  # which is refused as empty
    *before, last = prompt
    parts = list(last.parts)
    said = "\n".join(options)
    if parts and not isinstance(parts[-1], ImageSlot):
        parts[-1] = f"{parts[-1]}\n{said}"
    else:
        parts.append(said)
    return (*before, replace(last, parts=tuple(parts)))
