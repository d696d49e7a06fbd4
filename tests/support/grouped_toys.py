"""Toys of grouped Comparisons: the records of one prompt apart, and as one."""

from collections.abc import Sequence
from dataclasses import replace

from toys import toy_comparison

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage
from data_pipeline.encoding.joining import joined

# (judged responses, their ranks): a pair, the same pair the other way round, a pair again, an order with a tie of
# which one answer stands twice, and a tie beside a win.
JUDGED = (
    ((0, 1), (0, 1)),
    ((1, 0), (0, 1)),
    ((1, 2), (1, 0)),
    ((0, 2, 3, 2), (2, 0, 1, 0)),
    ((3, 0, 1), (0, 0, 1)),
)


def records_of_a_prompt(
    seed: int,
    judged: Sequence[tuple[tuple[int, ...], tuple[int, ...]]] = JUDGED,
    *,
    images: tuple[EncodedImage, ...] = (),
    response_images: tuple[EncodedImage, ...] = (),
) -> list[EncodedComparison]:
    """Separate Comparisons of one prompt whose scores count votes; `response_images` stand in the first responses."""
    count = 1 + max(place for places, _ in judged for place in places)
    whole = toy_comparison(seed, images=images, ranks=tuple(range(count)), response_images=response_images)
    found = []
    for number, (places, ranks) in enumerate(judged):
        shown = [response_images[place] for place in places if place < len(response_images)]
        found.append(
            replace(
                whole,
                id=f"{whole.id}-{number}",
                response_ids=tuple(whole.response_ids[place] for place in places),
                ranks=ranks,
                scores=tuple(float((seed + number + place) % 4) for place in places),
                images=(*images, *shown),
            )
        )
    return found


def grouped_toy(
    records: Sequence[EncodedComparison],
    judged: Sequence[tuple[tuple[int, ...], tuple[int, ...]]] = JUDGED,
    *,
    num_images: int = 0,
    num_response_images: int = 0,
) -> EncodedComparison:
    """The same as one Comparison. Its responses have to come first in the order of their places."""
    count = 1 + max(place for places, _ in judged for place in places)
    spans = [int(place < num_response_images) for place in range(count)]
    bare = [records[0], *(replace(one, images=one.images[num_images:]) for one in records[1:])]
    return joined(bare, [places for places, _ in judged], spans)
