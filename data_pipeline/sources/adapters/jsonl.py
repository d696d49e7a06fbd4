"""Any JSON lines by a field map: a pair, or K scored responses. The shape for a set of one's own.

A pair (names by `FieldMap`)::

    {"id": "7", "image": "images/bus.jpg", "prompt": "What colour is the bus?", "chosen": "Red.", "rejected": "Blue."}

K responses, with ``score`` (higher is better) or ``rank`` (0 is best); equal ones are ties::

    {"prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "<image> What is this?"}],
     "image": ["a.png"], "responses": [{"text": "A bus.", "score": 4.5}, {"text": "A dog.", "score": 1.0}]}

Awkward: a prompt with ``<image>`` tags must have as many as there are images; without tags the images stand before
the text of the first user turn. Turn contents may also be lists of parts: ``{"type": "text", "text"}``,
``{"type": "image"}`` for the next image of the record, and images in the parts themselves (`parsing.content_parts`).

A response may hold an image or a list of them beside its text or in its place (`FieldMap.response_image`), as
text-to-image preferences do; ``<image>`` tags in its text say where they stand, else they stand before it::

    {"prompt": "A lighthouse at dusk.", "responses": [{"image": "a.png", "rank": 0}, {"image": "b.png", "rank": 1}]}

A critique of a response stands in it (`FieldMap.critique`), those of a pair beside the answers
(``chosen_critique``, ``rejected_critique``); critic reward models read them (`EncodeConfig.critiques`).

What was written about two answers stands beside them (`FieldMap.reasonings`), with the places of the answers in the
order in which they were shown; of a pair, 0 is ``chosen``. Judges that reason learn it (`EncodeConfig.reasonings`)::

    "reasonings": [{"first": 1, "second": 0, "text": "Answer 1 names a wrong colour."}]
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from data_pipeline.config import FieldMap, SourceConfig
from data_pipeline.records.comparison import (
    Comparison,
    ImageSlot,
    MediaRef,
    Part,
    Reasoning,
    Response,
    Turn,
    ranks_from_scores,
)
from data_pipeline.sources.parsing import content_parts, fields

__all__ = ["IRRELEVANT", "to_comparison", "to_unranked"]

IRRELEVANT = ("reasonings_by", "reasonings_by.*")
"""What writing reasonings came to."""


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One generic record as a Comparison; see the module for its shape.

    Raises:
        RecordError: missing_field, wrong_field_type, unparsable_label, image_slot_mismatch, missing_media,
            broken_image.
    """
    made = _comparison(record, source, row, _labelled)
    return replace(made, reasonings=_reasonings(record, source.fields.reasonings, row, len(made.responses)))


def to_unranked(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """A record to be scored: no labels needed, one response is enough, and all ranks are 0.

    Responses are ``responses`` (strings, or objects with a text), or ``chosen`` and ``rejected`` in that order.

    Raises:
        RecordError: as `to_comparison`, without unparsable_label.
    """
    return _comparison(record, source, row, _unranked)


_Responses = Callable[[Mapping[str, Any], FieldMap, list[MediaRef], int], tuple[Response, ...]]
"""Reads a record's responses, and adds their images to the list of media."""


def _comparison(record: Mapping[str, Any], source: SourceConfig, row: int, responses_of: _Responses) -> Comparison:
    names = source.fields
    media = list(fields.media_of(record.get(names.image), names.image, row))
    prompt = _prompt(record, names.prompt, media, row)
    responses = responses_of(record, names, media, row)
    return Comparison(
        id=fields.id_of(record, names.id, row),
        source=source.name,
        prompt=prompt,
        responses=responses,
        media=tuple(media),
    )


def _labelled(record: Mapping[str, Any], names: FieldMap, media: list[MediaRef], row: int) -> tuple[Response, ...]:
    return _ranked(record, names, media, row) if names.responses in record else _pair(record, names, row)


def _unranked(record: Mapping[str, Any], names: FieldMap, media: list[MediaRef], row: int) -> tuple[Response, ...]:
    if names.responses not in record:
        return _pair(record, names, row, ranks=(0, 0))
    items = record[names.responses]
    if not isinstance(items, list) or not items or not all(isinstance(item, str | Mapping) for item in items):
        raise fields.wrong_type(names.responses, row, "a list of one or more strings or objects", items)
    return tuple(
        Response((item,), rank=0)
        if isinstance(item, str)
        else Response(_answer(item, names, media, row), rank=0, critique=_critique(item, names.critique, row))
        for item in items
    )


def _reasonings(record: Mapping[str, Any], field: str, row: int, num_responses: int) -> tuple[Reasoning, ...]:
    if field not in record:
        return ()
    found = []
    for item in fields.objects(record[field], field, row):
        first, second = (_place(item, name, row, num_responses) for name in ("first", "second"))
        if first == second:
            raise fields.wrong_type(field, row, "the places of two answers", dict(item))
        found.append(Reasoning(first, second, fields.text(item, "text", row)))
    return tuple(found)


def _place(item: Mapping[str, Any], name: str, row: int, count: int) -> int:
    value = fields.require(item, name, row)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < count:
        raise fields.wrong_type(name, row, f"the place of one of {count} answers, from 0 on", value)
    return value


def _critique(item: Mapping[str, Any], field: str, row: int) -> str | None:
    return fields.text(item, field, row) if field in item else None


def _answer(item: Mapping[str, Any], names: FieldMap, media: list[MediaRef], row: int) -> tuple[Part, ...]:
    """The text of a response with its images, which are added to `media`; tags are plain text where it has none."""
    images = fields.media_of(item.get(names.response_image), f"{names.responses}.{names.response_image}", row)
    if not images:
        return (fields.text(item, names.text, row),)
    text = "" if item.get(names.text) is None else fields.text(item, names.text, row)
    first = len(media)
    media += images
    parts = fields.place_images(text, len(images), row)
    return tuple(ImageSlot(first + part.index) if isinstance(part, ImageSlot) else part for part in parts)


def _pair(
    record: Mapping[str, Any], names: FieldMap, row: int, ranks: tuple[int, int] = (0, 1)
) -> tuple[Response, ...]:
    answers = ((names.chosen, names.chosen_critique), (names.rejected, names.rejected_critique))
    return tuple(
        Response((fields.text(record, answer, row),), rank=rank, critique=_critique(record, critique, row))
        for (answer, critique), rank in zip(answers, ranks, strict=True)
    )


def _ranked(record: Mapping[str, Any], names: FieldMap, media: list[MediaRef], row: int) -> tuple[Response, ...]:
    items = fields.objects(record[names.responses], names.responses, row)
    answers = [_answer(item, names, media, row) for item in items]
    critiques = [_critique(item, names.critique, row) for item in items]
    if any(names.score in item for item in items) or not any(names.rank in item for item in items):
        scores = [fields.number(item, names.score, row) for item in items]
        labelled = zip(answers, ranks_from_scores(scores), scores, critiques, strict=True)
        return tuple(Response(*response) for response in labelled)
    own_ranks = [fields.number(item, names.rank, row) for item in items]
    ranks = ranks_from_scores([-rank for rank in own_ranks])
    return tuple(
        Response(parts, rank, critique=critique)
        for parts, rank, critique in zip(answers, ranks, critiques, strict=True)
    )


def _prompt(record: Mapping[str, Any], field: str, media: list[MediaRef], row: int) -> tuple[Turn, ...]:
    """The prompt's turns; pictures that stand in their parts are added to `media`."""
    value = fields.require(record, field, row)
    if isinstance(value, str):
        return (Turn("user", fields.place_images(value, len(media), row)),)
    fields.objects(value, field, row, "a string or a list of turns")
    return content_parts.placed(content_parts.said_turns(value, field, row), media, row)
