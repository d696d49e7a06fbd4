"""The curves of a report: how margins spread, whether they are calibrated, how rewards go with length."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = [
    "CalibrationBin",
    "Histogram",
    "LengthBin",
    "calibration",
    "calibration_error",
    "margin_histogram",
    "rewards_by_length",
    "spearman",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_HISTOGRAM_BINS = 30
_CALIBRATION_BINS = 10
_LENGTH_BINS = 10


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """`counts[i]` values lie in [edges[i], edges[i + 1]); 0 is always an edge."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class CalibrationBin:
    """Pairs to which the model gives about the same probability of being right."""

    predicted: float
    """Mean of sigmoid(|margin|), from 0.5 to 1."""
    observed: float
    """Share of the pairs in which the model is right; equal rewards count half."""
    num_pairs: int
    """Pairs in the bin."""


@dataclass(frozen=True, kw_only=True)
class LengthBin:
    """Responses of about the same length."""

    mean_length: float
    """Mean length in tokens."""
    low: float
    """Lower quartile of the rewards."""
    median: float
    """Median reward."""
    high: float
    """Upper quartile of the rewards."""
    num_responses: int
    """Responses in the bin."""


def margin_histogram(margins: Floats) -> Histogram:
    """Counts of `margins` [P] in about 30 bins of a round width (1, 2 or 5 times a power of ten)."""
    # Zero belongs to the range: wrong and right pairs lie on its two sides, and it bounds the number of bins.
    spread = max(float(margins.max()), 0.0) - min(float(margins.min()), 0.0)
    width = _round_up(spread / _HISTOGRAM_BINS) if spread else 1.0
    first = min(math.floor(float(margins.min()) / width), -1)
    last = max(math.floor(float(margins.max()) / width) + 1, 1)
    bins = np.clip(np.floor(margins / width).astype(np.int64) - first, 0, last - first - 1)
    counts = np.bincount(bins, minlength=last - first)
    return Histogram(
        edges=tuple(float(f"{step * width:.12g}") for step in range(first, last + 1)),
        counts=tuple(int(count) for count in counts),
    )


def calibration(margins: Floats) -> tuple[CalibrationBin, ...]:
    """Predicted against observed accuracy of `margins` [P], in ten bins of equal width; empty bins are left out."""
    predicted = 1 / (1 + np.exp(-np.abs(margins)))
    right = (margins > 0) + 0.5 * (margins == 0)
    bins = np.minimum(((predicted - 0.5) * 2 * _CALIBRATION_BINS).astype(np.int64), _CALIBRATION_BINS - 1)
    return tuple(
        CalibrationBin(
            predicted=float(predicted[bins == index].mean()),
            observed=float(right[bins == index].mean()),
            num_pairs=int((bins == index).sum()),
        )
        for index in np.unique(bins)
    )


def calibration_error(bins: tuple[CalibrationBin, ...]) -> float:
    """Expected calibration error: mean of |predicted - observed| over the bins, weighted by pairs."""
    num_pairs = sum(one.num_pairs for one in bins)
    return sum(abs(one.predicted - one.observed) * one.num_pairs for one in bins) / num_pairs


def rewards_by_length(rewards: Floats, lengths: Ints) -> tuple[LengthBin, ...]:
    """Quartiles of `rewards` [R] over at most ten bins of `lengths` [R] that hold about as many responses each."""
    edges = np.unique(np.quantile(lengths, np.linspace(0, 1, _LENGTH_BINS + 1)))
    bins = np.searchsorted(edges[1:-1], lengths, side="right")
    found = []
    for index in np.unique(bins):
        inside = bins == index
        low, median, high = (float(value) for value in np.quantile(rewards[inside], [0.25, 0.5, 0.75]))
        mean_length = float(lengths[inside].mean())
        found.append(
            LengthBin(mean_length=mean_length, low=low, median=median, high=high, num_responses=int(inside.sum()))
        )
    return tuple(found)


def spearman(first: npt.NDArray[np.generic], second: npt.NDArray[np.generic]) -> float | None:
    """Spearman's rank correlation of two columns [R], ties at their mean rank; None where a column is constant."""
    a, b = _mean_ranks(first), _mean_ranks(second)
    a, b = a - a.mean(), b - b.mean()
    scale = math.sqrt(float(a @ a) * float(b @ b))
    return max(-1.0, min(1.0, float(a @ b) / scale)) if scale else None


def _mean_ranks(values: npt.NDArray[np.generic]) -> Floats:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Floats = (last - (counts - 1) / 2)[inverse]
    return ranks


def _round_up(value: float) -> float:
    """The smallest of 1, 2, 5, 10 times a power of ten that is not below `value`."""
    power = 10.0 ** math.floor(math.log10(value))
    return next((step * power for step in (1, 2, 5) if step * power >= value), 10 * power)
