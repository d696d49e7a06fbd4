"""Completions rated by a judge model, aspect by aspect: what VLFeedback and UltraFeedback have in common.

A rating is text: "4" mostly, sometimes "N/A" or a word. A completion with such a rating has no score and is left
out of its Comparison; the record is refused only where fewer than two completions keep one.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Response, ranks_from_scores
from data_pipeline.sources.parsing import fields
from data_pipeline.sources.parsing.watched import Watched, watched

__all__ = ["completions_of", "mean_rating", "parse_rating", "rated_responses"]

Completion = Mapping[str, Any]


def completions_of(record: Mapping[str, Any], row: int) -> list[Completion]:
    """The list of completions; a columnar ``{"response": [4], "annotations": [4]}`` (parquet copies) is turned round.

    Raises:
        RecordError: missing_field, or wrong_field_type (no list of objects, columns of unequal length).
    """
    value = fields.require(record, "completions", row)
    if isinstance(value, Mapping):
        if not all(isinstance(column, list) for column in value.values()):
            raise fields.wrong_type("completions", row, "lists", value)
        if len({len(column) for column in value.values()}) > 1:
            lengths = {name: len(column) for name, column in value.items()}
            raise RecordError("wrong_field_type", f"completions in row {row}: columns of unequal length {lengths}")
        rows = [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
        found: list[Completion] = watched(rows)
        if isinstance(record, Watched):
            record.parsed["completions"] = found
        return found
    value = fields.objects(value, "completions", row)
    return list(value)


def parse_rating(value: object) -> float | None:
    """A rating as a number: "4" -> 4.0, 3.5 -> 3.5; "N/A", None and other things without a finite value -> None."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def mean_rating(completion: Completion, aspects: Sequence[str], row: int) -> float | None:
    """Mean of the ``Rating`` of each aspect; None where one of them is no number.

    Raises:
        RecordError: the annotations or an aspect are not there or not objects.
    """
    annotations = fields.require(completion, "annotations", row)
    if not isinstance(annotations, Mapping):
        raise fields.wrong_type("annotations", row, "an object", annotations)
    ratings: list[float] = []
    for aspect in aspects:
        annotation = fields.require(annotations, aspect, row)
        if not isinstance(annotation, Mapping):
            raise fields.wrong_type(aspect, row, "an object", annotation)
        rating = parse_rating(fields.require(annotation, "Rating", row))
        if rating is None:
            return None
        ratings.append(rating)
    return sum(ratings) / len(ratings)


def rated_responses(
    completions: Sequence[Completion], score_of: Callable[[Completion], float | None], row: int
) -> tuple[Response, ...]:
    """The completions that have a score, ranked by it, in the record's order.

    Raises:
        RecordError: ``"unparsable_label"``: fewer than two have one, and some lost theirs.
    """
    rated = [
        (fields.text(completion, "response", row), score_of(completion), _critique(completion, row))
        for completion in completions
    ]
    kept = [(text, score, critique) for text, score, critique in rated if score is not None]
    if len(kept) < 2 and len(kept) < len(rated):
        raise RecordError(
            "unparsable_label", f"row {row}: {len(kept)} of {len(rated)} completions have numeric ratings"
        )
    ranks = ranks_from_scores([score for _, score, _ in kept])
    return tuple(
        Response((text,), rank, score, critique) for (text, score, critique), rank in zip(kept, ranks, strict=True)
    )


def _critique(completion: Completion, row: int) -> str | None:
    return fields.text(completion, "critique", row) if "critique" in completion else None
