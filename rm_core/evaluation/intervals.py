"""Confidence intervals for proportions whose pairs come in clusters.

The pairs of one Comparison share a prompt and responses, so they are not independent: the bootstrap draws whole
Comparisons. It draws them by their *kind* (how many pairs, how many right): Comparisons of one kind are
interchangeable, so one multinomial draw over the few kinds equals drawing all N with replacement, at a cost that
does not grow with N and without any dependence on their order.

`scipy.stats.bootstrap` is not used: it draws all N anew for every sample.
"""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

__all__ = ["Interval", "Resampling", "cluster_interval", "difference_interval", "wilson"]

Floats = npt.NDArray[np.float64]


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
    """A confidence interval; `method` is ``"cluster_bootstrap"`` or ``"wilson"``."""

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


def cluster_interval(right: Floats, pairs: Floats, resampling: Resampling) -> Interval:
    """Interval of sum(right) / sum(pairs), both of shape [N] with one entry a Comparison.

    Where every Comparison has the same accuracy a bootstrap would claim certainty ([1, 1] from three that are
    all right); Wilson's interval over the N Comparisons is given there instead.

    Raises:
        ValueError: there is no Comparison.
    """
    shares = right / pairs
    if not len(shares) or shares.min() == shares.max():
        return wilson(float(shares.sum()), len(shares), resampling.confidence)
    sums = _resampled_sums(np.stack([right, pairs], axis=1), resampling)
    return _percentiles(sums[:, 0] / sums[:, 1], resampling)


def difference_interval(right: Floats, other_right: Floats, pairs: Floats, resampling: Resampling) -> Interval:
    """Interval of (sum(right) - sum(other_right)) / sum(pairs): two scorings of the same Comparisons, paired.

    The interval is a point where every Comparison has the same difference.
    """
    sums = _resampled_sums(np.stack([right - other_right, pairs], axis=1), resampling)
    return _percentiles(sums[:, 0] / sums[:, 1], resampling)


def _resampled_sums(columns: Floats, resampling: Resampling) -> Floats:
    """Column sums of `samples` draws of N rows with replacement: [N, C] -> [samples, C]."""
    kinds, counts = np.unique(columns, axis=0, return_counts=True)
    draws = np.random.default_rng(resampling.seed).multinomial(
        len(columns), counts / len(columns), size=resampling.samples
    )
    return np.asarray(draws @ kinds, dtype=np.float64)


def _percentiles(values: Floats, resampling: Resampling) -> Interval:
    tail = (1 - resampling.confidence) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Interval(low=float(low), high=float(high), method="cluster_bootstrap")
