"""Is a margin a probability? The temperature that makes it one, how far off it is, and which margins to trust.

The model of a pair is Bradley and Terry's: P(better is preferred) = sigmoid(margin / temperature).
Risk and coverage: how often the pairs are wrong that are left when the most doubtful are set aside.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit

from data_pipeline.errors import RunError
from rm_core.evaluation.curves import calibration, calibration_error

__all__ = [
    "TEMPERATURES",
    "Calibration",
    "RiskCoverage",
    "best_temperature",
    "calibrate",
    "pair_spread",
    "risk_coverage",
]

Floats = npt.NDArray[np.float64]
TEMPERATURES = (0.01, 100.0)
"""The least and the highest that are tried; pairs that are all ranked right would ask for 0."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """How well probabilities of pairs agree with labels; all are lower the better."""

    temperature: float
    """Margins were divided by it."""
    log_loss: float
    """Mean of -log P(label), in nats; 0.693 for a coin."""
    brier: float
    """Mean of (1 - P(label))^2; 0.25 for a coin. Source: G. W. Brier, Monthly Weather Review 78 (1950)."""
    error: float
    """Expected calibration error: mean distance of predicted from observed accuracy over ten bins, by pairs."""


def best_temperature(margins: Floats) -> float:
    """The temperature with the least log-loss of `margins` [P], better response less worse.

    Found on validation pairs, used on others. Source: C. Guo et al., arXiv 1706.04599.

    Raises:
        RunError: there is no pair.
    """
    if not len(margins):
        raise RunError("no pair of labels differs: a temperature needs held-out pairs that are ranked")
    low, high = (math.log(limit) for limit in TEMPERATURES)
    found = minimize_scalar(lambda log: _log_loss(margins / math.exp(log)), bounds=(low, high), method="bounded")
    return math.exp(float(found.x))


def calibrate(margins: Floats, temperature: float) -> Calibration:
    """Measure `margins` [P], at least one, divided by `temperature`."""
    scaled = margins / temperature
    return Calibration(
        temperature=temperature,
        log_loss=_log_loss(scaled),
        brier=float(np.mean(expit(-scaled) ** 2)),
        error=calibration_error(calibration(scaled)),
    )


def _log_loss(scaled: Floats) -> float:
    return float(np.mean(np.logaddexp(0.0, -scaled)))


@dataclass(frozen=True, kw_only=True)
class RiskCoverage:
    """A selective ranker's curve. Source: Y. Geifman and R. El-Yaniv, arXiv 1705.08500."""

    coverage: tuple[float, ...]
    """Shares of the pairs that are kept, rising to 1."""
    risk: tuple[float, ...]
    """Of those, the share that is wrong; equal rewards count half."""
    area: float
    """Mean risk over all numbers of kept pairs; the lower the better. The risk of doubt at random is that of all."""


def pair_spread(margins: Floats) -> Floats:
    """Standard deviation over the members of `margins` [M, P], NaN where one does not read the pair; [P]."""
    return np.asarray(np.nanstd(margins, axis=0))


def risk_coverage(margins: Floats, doubt: Floats, points: int = 20) -> RiskCoverage:
    """The curve of `margins` [P], at least one, when pairs of the highest `doubt` [P] go first.

    Pairs of equal doubt go in or out together, as by a threshold; a pair's risk among them is their mean.
    """
    wrong = (margins < 0) + 0.5 * (margins == 0)
    _, group = np.unique(doubt, return_inverse=True)
    mean_of_group = np.bincount(group, weights=wrong) / np.bincount(group)
    order = np.argsort(group, kind="stable")
    risks = np.cumsum(mean_of_group[group[order]]) / np.arange(1, len(wrong) + 1)
    kept = np.unique(np.ceil(np.linspace(0, 1, points + 1)[1:] * len(wrong)).astype(np.int64))
    return RiskCoverage(
        coverage=tuple((kept / len(wrong)).tolist()),
        risk=tuple(risks[kept - 1].tolist()),
        area=float(risks.mean()),
    )
