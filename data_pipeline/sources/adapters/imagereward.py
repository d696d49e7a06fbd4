"""ImageReward: one text prompt, several pictures made from it and the rank that people gave each.

::

    {"id": "000904-0035", "prompt": "a lighthouse at dusk, oil on canvas", "ranking": [1, 2, 5, 3],
     "generations": ["images/904/0.png", "images/904/1.png", "images/904/2.png", "images/904/3.png"]}

The pictures are the answers: each response is one image without text. A lower rank is better.

Awkward: ranks have ties and gaps (``[1, 2, 5, 3]``), so that only their order is kept. A record that is only to be
scored needs no ``ranking``, and one picture is enough.
"""

from collections.abc import Callable, Mapping
from typing import Any

from data_pipeline.config import SourceConfig
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import Comparison, ImageSlot, Response, Turn, ranks_from_scores
from data_pipeline.sources.parsing import fields, image_turns

__all__ = ["to_comparison", "to_unranked"]


def to_comparison(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """One prompt with K ranked pictures, in the record's order.

    Raises:
        RecordError: missing_field, wrong_field_type, missing_media, broken_image, unparsable_label (no finite rank a
            picture).
    """
    return _comparison(record, source, row, _ranks)


def to_unranked(record: Mapping[str, Any], source: SourceConfig, row: int) -> Comparison:
    """The same to be scored: nobody looks at ``ranking``, and all ranks are 0.

    Raises:
        RecordError: as `to_comparison`, without unparsable_label.
    """
    record.get("ranking")  # known to the account of fields: a label means nothing here
    return _comparison(record, source, row, lambda _record, num_images, _row: (0,) * num_images)


_RanksOf = Callable[[Mapping[str, Any], int, int], tuple[int, ...]]
"""(record, number of pictures, row) -> the rank of each."""


def _comparison(record: Mapping[str, Any], source: SourceConfig, row: int, ranks_of: _RanksOf) -> Comparison:
    prompt = fields.text(record, "prompt", row)
    media = image_turns.needed_media(record, "generations", row)
    ranks = ranks_of(record, len(media), row)
    return Comparison(
        id=fields.id_of(record, "id", row),
        source=source.name,
        prompt=(Turn("user", (prompt,)),),
        responses=tuple(Response((ImageSlot(place),), rank) for place, rank in enumerate(ranks)),
        media=media,
    )


def _ranks(record: Mapping[str, Any], num_images: int, row: int) -> tuple[int, ...]:
    value = fields.require(record, "ranking", row)
    if not isinstance(value, list):
        raise fields.wrong_type("ranking", row, "a list of numbers", value)
    numbers = [fields.number({f"ranking[{place}]": rank}, f"ranking[{place}]", row) for place, rank in enumerate(value)]
    if len(numbers) != num_images or num_images < 2:
        raise RecordError("unparsable_label", f"ranking in row {row}: {len(numbers)} ranks for {num_images} images")
    try:
        return ranks_from_scores([-number for number in numbers])
    except RecordError as error:
        raise RecordError(error.reason, f"ranking in row {row}: {error.detail}") from error
