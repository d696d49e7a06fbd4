"""The same Comparisons in two scorings, side by side."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from data_pipeline.errors import UserError
from rm_core.scoring.scored import ScoredComparison

__all__ = ["Matched", "match"]

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
