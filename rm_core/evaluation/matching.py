"""The same Comparisons in two scorings, side by side, and those on which the two differ most."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.errors import UserError
from rm_core.evaluation.pairs import ordered_margins
from rm_core.scoring.scored import ScoredComparison

__all__ = ["ItemDifference", "Matched", "largest_differences", "match"]


Key = tuple[str, str, int]
"""Source, id, and how many of both came before: some benchmarks give several Comparisons one id."""


@dataclass(frozen=True, kw_only=True)
class Matched:
    """Two scorings of the same Comparisons: `a[i]` and `b[i]` are one Comparison, in the order of (source, id)."""

    a: tuple[ScoredComparison, ...]
    b: tuple[ScoredComparison, ...]
    only_a: int
    """Comparisons that only the first scored; they are in neither list."""
    only_b: int
    """Comparisons that only the second scored."""

    def check_same(self, names: tuple[str, str] = ("A", "B")) -> None:
        """Refuse two scorings of different Comparisons.

        Raises:
            UserError: they have no Comparison in common, or one has some that the other lacks.
        """
        counts = f"{len(self.a):,} in both, {self.only_a:,} only in {names[0]}, {self.only_b:,} only in {names[1]}"
        if not self.a:
            raise UserError(f"no Comparison was scored by both: {counts}; evaluate both on one split of one data set")
        if self.only_a or self.only_b:
            raise UserError(
                f"not the same Comparisons were scored: {counts}; evaluate both on the same split, or compare those "
                "in both (--common on the command line)"
            )


def match(a: Sequence[ScoredComparison], b: Sequence[ScoredComparison]) -> Matched:
    """Find the Comparisons of `a` and `b` that are the same, by source and id.

    Lengths of responses may differ, since they are counted in tokens of each model.

    Raises:
        UserError: a Comparison has other labels or images in the one than in the other.
    """
    first, second = _by_key(a), _by_key(b)
    both = sorted(first.keys() & second.keys())
    for key in both:
        _check_labels(first[key], second[key])
    return Matched(
        a=tuple(first[key] for key in both),
        b=tuple(second[key] for key in both),
        only_a=len(first) - len(both),
        only_b=len(second) - len(both),
    )


def _by_key(scored: Sequence[ScoredComparison]) -> dict[Key, ScoredComparison]:
    seen: Counter[tuple[str, str]] = Counter()
    found: dict[Key, ScoredComparison] = {}
    for one in scored:
        name = (one.source, one.id)
        found[*name, seen[name]] = one
        seen[name] += 1
    return found


def _check_labels(a: ScoredComparison, b: ScoredComparison) -> None:
    if (a.ranks, a.num_images) != (b.ranks, b.num_images):
        raise UserError(
            f"comparison {a.id!r} of source {a.source!r} has ranks {list(a.ranks)} and {a.num_images} images in the "
            f"one scoring, {list(b.ranks)} and {b.num_images} in the other: the data has changed in between; "
            "evaluate both models on the same prepared data"
        )


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
