"""Prepared rows + a scorer -> what the metrics read."""

from collections.abc import Iterator, Sequence

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.scoring.scored import ScoredComparison
from rm_core.scoring.scorer import Scorer

__all__ = ["score_rows"]

_CHUNK = 64
"""Comparisons in memory at once; packing works inside a chunk."""


def score_rows(
    scorer: Scorer, data: PreparedData, rows: Sequence[int], *, blank_images: bool
) -> Iterator[list[ScoredComparison]]:
    """Score rows of prepared data, a chunk at a time.

    Args:
        rows: rows of `data`, in any order; results come in the same order.
        blank_images: also score the Comparisons that have images with their images blanked out.
    """
    for start in range(0, len(rows), _CHUNK):
        items = [data.encoded(row) for row in rows[start : start + _CHUNK]]
        rewards = scorer.score(items)
        with_images = [item for item in items if item.images] if blank_images else []
        blank = iter(scorer.score(with_images, blank=True))
        yield [
            _scored(item, own, next(blank) if blank_images and item.images else None)
            for item, own in zip(items, rewards, strict=True)
        ]


def _scored(
    item: EncodedComparison, rewards: tuple[float, ...], blank_rewards: tuple[float, ...] | None
) -> ScoredComparison:
    return ScoredComparison(
        id=item.id,
        source=item.source,
        rewards=rewards,
        ranks=item.ranks,
        response_lengths=tuple(len(ids) for ids in item.response_ids),
        num_images=len(item.images),
        blank_rewards=blank_rewards,
    )
