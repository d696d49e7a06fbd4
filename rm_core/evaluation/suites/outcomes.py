"""From the rewards of a suite's rows to shares and means of shares, each with an interval that draws groups of rows.

Letters of shapes: N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import numpy as np
import numpy.typing as npt

from rm_core.evaluation.intervals import Interval, Resampling, cluster_interval
from rm_core.evaluation.pairs import differences

__all__ = ["Outcomes", "Part", "SuiteNumber"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class SuiteNumber:
    """One number of a suite, between 0 and 1."""

    value: float
    interval: Interval
    right: int | None
    """What was right; None for a mean of shares."""
    out_of: int | None
    """Of so many; None for a mean of shares."""


@dataclass(frozen=True)
class Part:
    """What a share counts: `right` [N] out of `out_of` [N], which is 0 for rows outside of it."""

    right: Floats
    out_of: Floats

    @property
    def share(self) -> float:
        return float(self.right.sum() / self.out_of.sum())


class Outcomes:
    """Right and wrong of every row.

    Args:
        ids: [N] the rows' own ids; rows may share one.
        ranks: [N] labels of the responses, 0 is best.
        rewards: [N] of the same responses; None where a row was not scored: all its pairs are wrong.
        categories: [N] names.
        groups: int64 [N] equal for rows that are not independent.
    """

    def __init__(
        self,
        *,
        ids: Sequence[str],
        ranks: Sequence[tuple[int, ...]],
        rewards: Sequence[tuple[float, ...] | None],
        categories: Sequence[str],
        groups: Ints,
        resampling: Resampling,
    ) -> None:
        self.ids = ids
        self.rewards = rewards
        self.categories = np.array(categories, dtype=np.str_)
        counts = np.array([_counts(*one) for one in zip(ranks, rewards, strict=True)], dtype=np.float64).reshape(-1, 3)
        self.right, self.tied, self.pairs = counts.T
        self._groups = groups
        self._resampling = resampling

    def among(self, *categories: str) -> Bools:
        """Whether a row, [N], is of one of the categories."""
        return np.isin(self.categories, categories)

    def part(self, members: Bools | None = None) -> Part:
        """The ordered pairs of the rows where `members` [N] is set; None: of all."""
        chosen = np.ones(len(self.pairs)) if members is None else members.astype(np.float64)
        return Part(self.right * chosen, self.pairs * chosen)

    def number(self, part: Part) -> SuiteNumber:
        """The share of a part, which is not empty."""
        return SuiteNumber(
            value=part.share,
            interval=self._interval(part.right, part.out_of),
            right=round(float(part.right.sum())),
            out_of=round(float(part.out_of.sum())),
        )

    def mean(self, parts: Sequence[Part], weights: Sequence[float] | None = None) -> SuiteNumber:
        """The mean of the shares of parts, each counted by its weight; unset: all alike."""
        used = (1.0,) * len(parts) if weights is None else weights
        scales = [weight / float(part.out_of.sum()) for weight, part in zip(used, parts, strict=True)]
        right = np.sum([part.right * scale for part, scale in zip(parts, scales, strict=True)], axis=0)
        out_of = np.sum([part.out_of * scale for part, scale in zip(parts, scales, strict=True)], axis=0)
        value = fmean([part.share for part in parts], weights=used)
        return SuiteNumber(value=value, interval=self._interval(right, out_of), right=None, out_of=None)

    def _interval(self, right: Floats, out_of: Floats) -> Interval:
        inside = out_of > 0
        return cluster_interval(right[inside], out_of[inside], self._groups[inside], self._resampling)


def _counts(ranks: tuple[int, ...], rewards: tuple[float, ...] | None) -> tuple[int, int, int]:
    """Right pairs, pairs with equal rewards, and all ordered pairs of one row."""
    if rewards is None:
        return 0, 0, len(differences(ranks, ranks))
    margins = differences(ranks, rewards)
    return sum(margin > 0 for margin in margins), margins.count(0.0), len(margins)
