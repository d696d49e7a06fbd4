"""Confidence intervals for proportions whose pairs come in clusters.

The pairs of one Comparison share a prompt and responses, and Comparisons of one group share an image or a prompt
(`data_pipeline.filtering.groups`), so they are not independent: the bootstrap draws whole groups. It draws them by
their *kind* (how many pairs, how many right): groups of one kind are interchangeable, so one multinomial draw over the
few kinds equals drawing all G with replacement, at a cost that does not grow with G and without any dependence on their
order.

With few groups, or with one that holds most of the pairs, percentiles of a bootstrap are too narrow: where Student's
interval of the same groups reaches further, its end counts. Its degrees of freedom are those of as many equally large
groups as would vary as much, (sum m)^2 / sum m^2 of the groups' pairs m (L. Kish, Survey Sampling, 1965).

`scipy.stats.bootstrap` is not used: it draws all G anew for every sample.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from scipy.stats import t

__all__ = ["Interval", "Resampling", "by_group", "cluster_interval", "difference_interval", "wilson"]

_LEAST_FREEDOM = 0.5
"""Degrees of freedom where one group holds nearly all pairs; Student's interval is then wider than any share."""

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How intervals are made."""

    confidence: float = 0.95
    """Share of intervals that would hold the true value, between 0 and 1."""
    samples: int = 1000
    """Bootstrap draws an interval."""
    seed: int = 0
    """Seed of the draws; every interval starts from it, so no interval depends on which others are asked for."""

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ValueError(f"confidence is {self.confidence}; choose a share between 0 and 1, such as 0.95")
        if self.samples < 1:
            raise ValueError(f"bootstrap_samples is {self.samples}; at least 1 is needed, 1000 is usual")


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A confidence interval; `method` is ``"cluster_bootstrap"``, ``"wilson"`` or ``"exact"``."""

    low: float
    high: float
    method: str


def wilson(successes: float, trials: int, confidence: float) -> Interval:
    """Wilson's score interval of `successes` among `trials` independent trials.

    8 of 10 at 0.95 give (0.490, 0.943). Source: E. B. Wilson, JASA 22 (1927).

    Raises:
        ValueError: no trials.
    """
    if trials < 1:
        raise ValueError(f"an interval needs at least one trial, not {trials}")
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    share = successes / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    # The formula's ends at 0 and 1 are exact; rounding must not leave the value outside its own interval.
    return Interval(
        low=max(0.0, min(centre - spread, share)), high=min(1.0, max(centre + spread, share)), method="wilson"
    )


def by_group(groups: Ints, *columns: npt.NDArray[np.generic]) -> list[Floats]:
    """Sums of the columns [N] over each of the G groups that occur in `groups` [N], each [G]."""
    found, place = np.unique(groups, return_inverse=True)
    return [np.bincount(place, weights=column, minlength=len(found)).astype(np.float64) for column in columns]


def cluster_interval(right: Floats, pairs: Floats, groups: Ints, resampling: Resampling) -> Interval:
    """Interval of sum(right) / sum(pairs), both of shape [N] with one entry a Comparison.

    Where every group has the same accuracy a bootstrap would claim certainty ([1, 1] from three that are all right);
    Wilson's interval over the G groups is given there instead.

    Args:
        groups: [N] equal for Comparisons that are not independent.

    Raises:
        ValueError: there is no Comparison.
    """
    right, pairs = by_group(groups, right, pairs)
    shares = right / pairs
    if not len(shares) or shares.min() == shares.max():
        return wilson(float(shares.sum()), len(shares), resampling.confidence)
    return _interval(right, pairs, resampling, least=0.0)


def difference_interval(
    right: Floats, other_right: Floats, pairs: Floats, groups: Ints, resampling: Resampling
) -> Interval:
    """Interval of (sum(right) - sum(other_right)) / sum(pairs): two scorings of the same Comparisons, paired.

    Where all groups have one difference a bootstrap would claim certainty. There at most a share u of groups can be
    another way, u from Wilson's interval of 0 among G, and each of them by at most 1 + |difference|: 0 of 100 that
    differ leave -0.037 to 0.037.
    """
    lead, pairs = by_group(groups, right - other_right, pairs)
    shares = lead / pairs
    if shares.min() < shares.max():
        return _interval(lead, pairs, resampling, least=-1.0)
    value = float(shares[0])
    slack = (1 + abs(value)) * wilson(0, len(shares), resampling.confidence).high
    return Interval(low=max(-1.0, value - slack), high=min(1.0, value + slack), method="wilson")


def _interval(sums: Floats, pairs: Floats, resampling: Resampling, *, least: float) -> Interval:
    """Of sum(sums) / sum(pairs), both [G], two groups or more; it lies between `least` and 1."""
    drawn = _resampled_sums(np.stack([sums, pairs], axis=1), resampling)
    tail = (1 - resampling.confidence) / 2
    low, high = np.quantile(drawn[:, 0] / drawn[:, 1], [tail, 1 - tail])
    value, reach = float(sums.sum() / pairs.sum()), _student_reach(sums, pairs, resampling.confidence)
    return Interval(
        low=max(least, min(float(low), value - reach)),
        high=min(1.0, max(float(high), value + reach)),
        method="cluster_bootstrap",
    )


def _student_reach(sums: Floats, pairs: Floats, confidence: float) -> float:
    """Half of Student's interval of sum(sums) / sum(pairs), linearised, both [G]."""
    total, count = pairs.sum(), len(pairs)
    residuals = sums - sums.sum() / total * pairs
    spread = math.sqrt(count / (count - 1) * float(residuals @ residuals)) / total
    equally_large = total * total / float(pairs @ pairs)
    return float(t.ppf((1 + confidence) / 2, max(equally_large - 1, _LEAST_FREEDOM)) * spread)


def _resampled_sums(columns: Floats, resampling: Resampling) -> Floats:
    """Column sums of `samples` draws of N rows with replacement: [N, C] -> [samples, C]."""
    kinds, counts = np.unique(columns, axis=0, return_counts=True)
    draws = np.random.default_rng(resampling.seed).multinomial(
        len(columns), counts / len(columns), size=resampling.samples
    )
    return np.asarray(draws @ kinds, dtype=np.float64)
