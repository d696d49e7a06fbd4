"""The Comparisons on which two models differ most."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rm_core.evaluation.pairs import ordered_margins
from rm_core.scoring.scored import ScoredComparison

__all__ = ["ItemDifference", "largest_differences"]


@dataclass(frozen=True, kw_only=True)
class ItemDifference:
    """One Comparison as both models see it."""

    id: str
    source: str
    num_pairs: int
    """Ordered pairs."""
    a_right: int
    """Of them, those that the first ranks as labelled."""
    b_right: int
    a_margin: float
    """Mean of better minus worse over the pairs, in units of the first model's own margins: 1 is its usual size."""
    b_margin: float


def largest_differences(
    a: Sequence[ScoredComparison], b: Sequence[ScoredComparison], limit: int
) -> tuple[list[ItemDifference], list[ItemDifference]]:
    """Up to `limit` Comparisons that the first model gets right and the second wrong, and the other way round.

    Rewards of two models have different scales, so margins are divided by the root of their mean square first. The
    Comparisons with the largest gap come first.

    Args:
        a, b: the same Comparisons in the same order (`matching.match`).
    """
    scales = [_scale(scored) for scored in (a, b)]
    items = [_item(one, other, scales) for one, other in zip(a, b, strict=True)]
    largest = []
    for sign in (1, -1):
        chosen = [one for one in items if sign * (one.a_right - one.b_right) > 0]
        chosen.sort(key=lambda one: (-sign * (one.a_margin - one.b_margin), one.source, one.id))
        largest.append(chosen[:limit])
    return largest[0], largest[1]


def _item(a: ScoredComparison, b: ScoredComparison, scales: Sequence[float]) -> ItemDifference:
    first, second = ordered_margins(a), ordered_margins(b)
    pairs = max(1, len(first))
    return ItemDifference(
        id=a.id,
        source=a.source,
        num_pairs=len(first),
        a_right=sum(margin > 0 for margin in first),
        b_right=sum(margin > 0 for margin in second),
        a_margin=math.fsum(first) / pairs / scales[0],
        b_margin=math.fsum(second) / pairs / scales[1],
    )


def _scale(scored: Sequence[ScoredComparison]) -> float:
    """Root of the mean squared margin; 1 where a model gives everything one reward."""
    margins = [margin for one in scored for margin in ordered_margins(one)]
    return math.sqrt(math.fsum(margin * margin for margin in margins) / len(margins)) or 1.0 if margins else 1.0
