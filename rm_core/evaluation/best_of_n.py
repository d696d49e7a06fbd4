"""Best of n: how good the response is that a model picks among n, which is what a reward model is used for.

For a Comparison with K responses, over all subsets of n of them: the quality of the one with the highest reward. The
quality of a response is the share of the other K - 1 that the label puts below it, where equal labels count half. So a
pick without a model is worth 1/2 for every n, and the label's own pick is the most that there is.

No subset is drawn: a response is picked from the subsets that hold it and none of a higher reward, which are counted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from rm_core.evaluation.intervals import Interval, Resampling, cluster_interval
from rm_core.evaluation.pairs import in_order
from rm_core.evaluation.results import BestOfN, Share
from rm_core.scoring.scored import ScoredComparison, group_codes

__all__ = ["best_of_n"]

Floats = npt.NDArray[np.float64]
NO_CHOICE = Interval(low=0.5, high=0.5, method="exact")


@dataclass(frozen=True, kw_only=True)
class _OfOneK:
    """Comparisons [N] of K responses, K > 2, with an order."""

    rewards: Floats
    """[N, K]"""
    quality: Floats
    """[N, K] win rate of each response against the others, by the label."""
    groups: npt.NDArray[np.int64]
    """[N] equal for Comparisons that are not independent."""


def best_of_n(scored: Sequence[ScoredComparison], resampling: Resampling) -> dict[str, tuple[BestOfN, ...]]:
    """By K as text, for each K > 2: one entry for each n from 1 to K, in this order.

    Comparisons whose labels all tie take no part: nothing can be picked there.

    Raises:
        UserError: a Comparison has no group.
    """
    ordered = [one for one in in_order(scored) if len(one.ranks) > 2 and len(set(one.ranks)) > 1]
    counts = sorted({len(one.ranks) for one in ordered})
    return {
        str(count): _curve(_of([one for one in ordered if len(one.ranks) == count]), resampling) for count in counts
    }


def _of(scored: Sequence[ScoredComparison]) -> _OfOneK:
    ranks = np.array([one.ranks for one in scored], dtype=np.int64)
    return _OfOneK(
        rewards=np.array([one.rewards for one in scored], dtype=np.float64),
        quality=_below(-ranks) / (ranks.shape[1] - 1),
        groups=group_codes(scored),
    )


def _curve(found: _OfOneK, resampling: Resampling) -> tuple[BestOfN, ...]:
    points = []
    for n in range(1, found.rewards.shape[1] + 1):
        picked = (_picked(found.rewards, n) * found.quality).sum(axis=1)
        most = (_picked(found.quality, n) * found.quality).sum(axis=1)
        # One of one is no choice: that mean is no estimate.
        interval = NO_CHOICE if n == 1 else cluster_interval(picked, np.ones(len(picked)), found.groups, resampling)
        model = Share(value=float(picked.mean()), interval=interval)
        points.append(BestOfN(n=n, model=model, label=float(most.mean()), num_comparisons=len(picked)))
    return tuple(points)


def _picked(scores: Floats, n: int) -> Floats:
    """[N, K] how often each response has the highest of `scores` [N, K] in a subset of n; equal ones share it."""
    count = scores.shape[1]
    higher = (scores[:, None, :] > scores[:, :, None]).sum(axis=2)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(axis=2)
    subsets = np.array([comb(size, n) for size in range(count + 1)], dtype=np.float64)
    return np.asarray((subsets[count - higher] - subsets[count - higher - equal]) / (equal * subsets[count]))


def _below(scores: npt.NDArray[np.int64]) -> Floats:
    """[N, K] how many others of `scores` [N, K] are lower; equal ones count half."""
    lower = (scores[:, None, :] < scores[:, :, None]).sum(axis=2)
    equal = (scores[:, None, :] == scores[:, :, None]).sum(axis=2) - 1
    return np.asarray(lower + 0.5 * equal, dtype=np.float64)
