"""Rewards of several members for the same Comparisons, laid out as columns.

Letters of shapes: M members, N Comparisons, R responses, P ordered pairs.
"""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from itertools import permutations

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.scoring.scored import ScoredComparison, check_finite

__all__ = ["ScoreTable", "score_table"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Key = tuple[str, str]
"""A Comparison's source and id."""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """Comparisons in the order of (source, id), each with its responses side by side."""

    members: tuple[str, ...]
    """[M] names."""
    rewards: Floats
    """[M, R]; NaN where a member does not read the Comparison."""
    comparison: Ints
    """[R] which Comparison a response belongs to."""
    pairs: Ints
    """[2, P] (better, worse) as indices into R, all ordered pairs of each Comparison."""
    labels: tuple[ScoredComparison, ...]
    """[N] what is labelled; the rewards in them mean nothing."""

    def margins(self, rewards: Floats) -> Floats:
        """Better minus worse of `rewards` [..., R] for each ordered pair, [..., P]."""
        better, worse = self.pairs
        return np.asarray(rewards[..., better] - rewards[..., worse])

    def only(self, members: Sequence[str]) -> "ScoreTable":
        """The same Comparisons with the rewards of some members."""
        indices = [self.members.index(name) for name in members]
        return replace(self, members=tuple(members), rewards=self.rewards[indices])

    def scored(self, rewards: Floats) -> list[ScoredComparison]:
        """The Comparisons with other rewards [R], for `rm_core.evaluation`."""
        starts = np.cumsum([len(one.ranks) for one in self.labels])[:-1]
        parts = np.split(rewards, starts)
        return [replace(one, rewards=tuple(part.tolist())) for one, part in zip(self.labels, parts, strict=True)]


def score_table(
    scored: Mapping[str, Sequence[ScoredComparison]], text_only: AbstractSet[str] = frozenset()
) -> ScoreTable:
    """Lay out what each member gave, in whatever order.

    Args:
        scored: member's name -> what it scored. A text-only member's list holds the Comparisons without images.
        text_only: names of members that see no images.

    Raises:
        RunError: no member or no Comparison, a Comparison twice, one that a member lacks, labels that differ, or a
            reward that is not finite; the message names it.
    """
    found = {name: _by_key(name, given) for name, given in scored.items()}
    everything: dict[Key, ScoredComparison] = {}
    for given in found.values():
        everything = given | everything  # the first member that has a Comparison says what its labels are
    if not everything:
        raise RunError(f"nothing to combine: {len(scored)} members scored 0 Comparisons")
    labels = [everything[key] for key in sorted(everything)]
    rows = [list(_row(name, given, labels, sees_images=name not in text_only)) for name, given in found.items()]
    sizes = np.array([len(one.ranks) for one in labels])
    starts = np.cumsum(sizes) - sizes
    pairs = [start + pair for one, start in zip(labels, starts, strict=True) for pair in _ordered(one.ranks)]
    return ScoreTable(
        members=tuple(found),
        rewards=np.array(rows, dtype=np.float64),
        comparison=np.repeat(np.arange(len(labels)), sizes),
        pairs=np.array(pairs, dtype=np.int64).reshape(-1, 2).T,
        labels=tuple(replace(one, blank_rewards=None) for one in labels),
    )


def _by_key(name: str, scored: Sequence[ScoredComparison]) -> dict[Key, ScoredComparison]:
    check_finite(scored)
    found: dict[Key, ScoredComparison] = {}
    for one in scored:
        if (one.source, one.id) in found:
            raise RunError(f"member {name!r} scored Comparison {one.id!r} of source {one.source!r} twice")
        found[one.source, one.id] = one
    return found


def _row(
    name: str, given: Mapping[Key, ScoredComparison], labels: Sequence[ScoredComparison], *, sees_images: bool
) -> Iterator[float]:
    """A member's rewards of all responses; NaN where it does not see them."""
    for one in labels:
        own = given.get((one.source, one.id))
        if own is None and one.num_images > 0 and not sees_images:
            yield from (np.nan,) * len(one.ranks)
        elif own is None:
            raise RunError(
                f"member {name!r} has no reward for Comparison {one.id!r} of source {one.source!r}: all members have "
                "to score the same ones; a member that sees no images has to say so"
            )
        elif (own.ranks, own.num_images) != (one.ranks, one.num_images):
            raise RunError(
                f"member {name!r} scored Comparison {one.id!r} of source {one.source!r} with ranks {list(own.ranks)} "
                f"and {own.num_images} images, another with {list(one.ranks)} and {one.num_images}: score the same data"
            )
        else:
            yield from own.rewards


def _ordered(ranks: Sequence[int]) -> Iterator[Ints]:
    for better, worse in permutations(range(len(ranks)), 2):
        if ranks[better] < ranks[worse]:
            yield np.array([better, worse])
