"""Is a margin a probability? The temperature that makes it one, and how far off it is.

The model of a pair is Bradley and Terry's: P(better is preferred) = sigmoid(margin / temperature).
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit

from data_pipeline.errors import RunError
from rm_core.evaluation.curves import calibration, calibration_error

__all__ = ["TEMPERATURES", "Calibration", "best_temperature", "calibrate"]

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
