"""Scored Comparisons as numpy columns: one entry an ordered pair, a Comparison or a response.

Comparisons, and the responses inside each, are put into one canonical order first, so that every number made
from the table is the same to the last bit in whatever order they were scored.

Letters of shapes: N Comparisons, R responses, P ordered pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from rm_core.scoring.scored import ScoredComparison, group_codes

__all__ = [
    "PairTable",
    "differences",
    "in_order",
    "longer_wins",
    "ordered_lengths",
    "ordered_margins",
    "pair_table",
    "right_or_alike",
]

Number = TypeVar("Number", int, float)
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class PairTable:
    """Every pair whose labels differ, oriented from the better response to the worse one."""

    comparison: Ints
    """[P] which Comparison the pair belongs to."""
    margin: Floats
    """[P] reward of the better response minus reward of the worse."""
    blank_margin: Floats
    """[P] the same with blank images; NaN where the Comparison was not scored with them."""
    length_gap: Ints
    """[P] tokens of the better response minus tokens of the worse."""
    longer: Ints
    """[P] tokens of the longer of the two."""
    source: npt.NDArray[np.str_]
    """[N] name of the source."""
    num_responses: Ints
    """[N] K."""
    has_images: Bools
    """[N] whether there is an image in it."""
    has_blank: Bools
    """[N] whether it was scored with blank images too."""
    group: Ints
    """[N] equal for Comparisons that are not independent."""
    num_pairs: Ints
    """[N] ordered pairs."""
    tied_labels: Ints
    """[N] pairs with equal ranks; they take part in no accuracy."""
    top1: Bools
    """[N] whether a best-ranked response has a higher reward than every response ranked below."""
    reward: Floats
    """[R] the reward of every response."""
    response_length: Ints
    """[R] its length in tokens."""


def pair_table(scored: Sequence[ScoredComparison]) -> PairTable:
    """Lay out `scored`, at least one Comparison with finite rewards."""
    ordered = in_order(scored)
    num_responses = np.array([len(one.ranks) for one in ordered], dtype=np.int64)
    # Comparisons of one K make a rectangle, in which all pairs are found at once.
    parts = [_rectangle(ordered, np.flatnonzero(num_responses == count)) for count in np.unique(num_responses)]
    comparison, margin, blank_margin, length_gap, longer = (
        np.concatenate([part[column] for part in parts]) for column in range(5)
    )
    order = np.argsort(comparison, kind="stable")
    comparison = comparison[order].astype(np.int64)
    num_pairs = np.bincount(comparison, minlength=len(ordered)).astype(np.int64)
    return PairTable(
        comparison=comparison,
        margin=margin[order],
        blank_margin=blank_margin[order],
        length_gap=length_gap[order].astype(np.int64),
        longer=longer[order].astype(np.int64),
        source=np.array([one.source for one in ordered], dtype=np.str_),
        num_responses=num_responses,
        has_images=np.array([one.num_images > 0 for one in ordered], dtype=np.bool_),
        has_blank=np.array([one.blank_rewards is not None for one in ordered], dtype=np.bool_),
        group=group_codes(ordered),
        num_pairs=num_pairs,
        tied_labels=num_responses * (num_responses - 1) // 2 - num_pairs,
        top1=np.array([_is_top1(one) for one in ordered], dtype=np.bool_),
        reward=np.array([reward for one in ordered for reward in one.rewards], dtype=np.float64),
        response_length=np.array([length for one in ordered for length in one.response_lengths], dtype=np.int64),
    )


def in_order(scored: Sequence[ScoredComparison]) -> list[ScoredComparison]:
    """The same in the canonical order, and the responses of each in theirs."""
    return sorted((_sorted_responses(one) for one in scored), key=_canonical_key)


def ordered_margins(one: ScoredComparison) -> list[float]:
    """Reward of the better response minus that of the worse, for each pair whose labels differ."""
    return differences(one.ranks, one.rewards)


def ordered_lengths(one: ScoredComparison) -> list[int]:
    """Tokens of the better response less those of the worse, for each pair whose labels differ."""
    return differences(one.ranks, one.response_lengths)


def differences(ranks: Sequence[int], values: Sequence[Number]) -> list[Number]:
    """The better response's value less the worse one's, of each ordered pair."""
    return [
        better - worse
        for rank, better in zip(ranks, values, strict=True)
        for other, worse in zip(ranks, values, strict=True)
        if rank < other
    ]


def right_or_alike(margins: Floats, changed: Floats) -> Floats:
    """[P] 1 where a pair is right by its margin after a change, half where only the change made its rewards equal.

    Answers that are pictures are alike once these are blank: a model that sees no picture can but guess.
    """
    return np.asarray((changed > 0) + 0.5 * ((changed == 0) & (margins != 0)), dtype=np.float64)


def longer_wins(length_gap: Ints) -> Floats:
    """What the rule "the longer answer wins" gets for each pair [P]: 1 where it is right, half where lengths tie."""
    return np.asarray((length_gap > 0) + 0.5 * (length_gap == 0), dtype=np.float64)


def _sorted_responses(one: ScoredComparison) -> ScoredComparison:
    blank = one.blank_rewards
    order = sorted(
        range(len(one.ranks)),
        key=lambda k: (one.ranks[k], one.rewards[k], one.response_lengths[k], blank[k] if blank else 0.0),
    )
    return replace(
        one,
        rewards=tuple(one.rewards[k] for k in order),
        ranks=tuple(one.ranks[k] for k in order),
        response_lengths=tuple(one.response_lengths[k] for k in order),
        blank_rewards=tuple(blank[k] for k in order) if blank is not None else None,
    )


def _canonical_key(one: ScoredComparison) -> tuple[object, ...]:
    return (
        one.source,
        one.id,
        one.ranks,
        one.rewards,
        one.response_lengths,
        one.num_images,
        one.blank_rewards or (),
        one.group or "",
    )


def _rectangle(ordered: Sequence[ScoredComparison], where: Ints) -> tuple[Ints, Floats, Floats, Ints, Ints]:
    """Comparison, margin, blank margin, length gap and longer length of every ordered pair at `where`, of one K."""
    chosen = [ordered[index] for index in where]
    ranks = np.array([one.ranks for one in chosen], dtype=np.int64)  # [n, K]
    rewards = np.array([one.rewards for one in chosen], dtype=np.float64)
    lengths = np.array([one.response_lengths for one in chosen], dtype=np.int64)
    unknown = (np.nan,) * ranks.shape[1]
    blank = np.array([one.blank_rewards or unknown for one in chosen], dtype=np.float64)
    row, better, worse = np.nonzero(ranks[:, :, None] < ranks[:, None, :])
    return (
        where[row],
        rewards[row, better] - rewards[row, worse],
        blank[row, better] - blank[row, worse],
        lengths[row, better] - lengths[row, worse],
        np.maximum(lengths[row, better], lengths[row, worse]),
    )


def _is_top1(one: ScoredComparison) -> bool:
    best = min(one.ranks)
    below = [reward for reward, rank in zip(one.rewards, one.ranks, strict=True) if rank != best]
    top = max(reward for reward, rank in zip(one.rewards, one.ranks, strict=True) if rank == best)
    return bool(below) and top > max(below)
