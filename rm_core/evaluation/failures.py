"""The Comparisons on which a model is most wrong."""

from collections.abc import Sequence
from dataclasses import dataclass

from rm_core.evaluation.pairs import ordered_margins
from rm_core.scoring.scored import ScoredComparison

__all__ = ["Failure", "worst_failures"]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A Comparison of which an ordered pair is wrong."""

    place: int
    """Among those that were scored."""
    margin: float
    """Of its most wrong pair: reward of the better response less that of the worse; at most 0."""
    rewards: tuple[float, ...]
    """Of its responses, in their own order."""


def worst_failures(scored: Sequence[ScoredComparison], count: int) -> list[Failure]:
    """At most `count`, the most wrong first; of a group (one picture, one prompt) only the most wrong one."""
    found = [
        (min(margins), one.source, one.id, place)
        for place, one in enumerate(scored)
        if (margins := ordered_margins(one)) and min(margins) <= 0
    ]
    worst: list[Failure] = []
    groups: set[str | None] = set()
    for margin, _, _, place in sorted(found):
        if len(worst) == count:
            break
        if scored[place].group not in groups:
            groups.add(scored[place].group)
            worst.append(Failure(place=place, margin=margin, rewards=scored[place].rewards))
    return worst
