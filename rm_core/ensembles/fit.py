"""Rewards of held-out Comparisons -> an ensemble: scales, weights, temperature.

Is a margin a probability? The temperature that makes it one, how far off it is, and which margins to trust.

The model of a pair is Bradley and Terry's: P(better is preferred) = sigmoid(margin / temperature).
Risk and coverage: how often the pairs are wrong that are left when the most doubtful are set aside.
"""

import math
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit

from data_pipeline.errors import RunError
from rm_core.ensembles.ensemble import Ensemble, Member, Rule, combine
from rm_core.ensembles.table import ScoreTable
from rm_core.evaluation.curves import calibration, calibration_error

__all__ = [
    "TEMPERATURES",
    "Calibration",
    "RiskCoverage",
    "best_temperature",
    "calibrate",
    "fit",
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


def fit(
    table: ScoreTable, rule: Rule, *, text_only: AbstractSet[str] = frozenset(), penalty: float = 1.0,
    standardise: bool = True,
) -> Ensemble:  # fmt: skip
    """Measure members on held-out Comparisons.

    Args:
        table: their rewards; BaseReward draws 1,000 Comparisons from all its data sets.
        rule: how rewards are put together; it decides the weights.
        text_only: names of members that see no images.
        penalty: standard deviations that the cautious rule takes off.
        standardise: bring each member to mean 0 and standard deviation 1; without it the largest rewards decide.

    Raises:
        RunError: a member gives every response the same reward, or has no weight because it ranks pairs worse than a
            coin would.
    """
    members = [
        _member(name, table, rewards, rule, text_only=name in text_only, standardise=standardise)
        for name, rewards in zip(table.members, table.rewards, strict=True)
    ]
    standard = np.stack([(row - one.mean) / one.spread for row, one in zip(table.rewards, members, strict=True)])
    combined = combine(standard, np.array([one.weight for one in members]), rule, penalty)
    return Ensemble(
        members=tuple(members),
        rule=rule,
        penalty=penalty,
        temperature=best_temperature(table.margins(combined.rewards)),
        num_comparisons=len(table.labels),
    )


def _member(name: str, table: ScoreTable, rewards: Floats, rule: Rule, *, text_only: bool, standardise: bool) -> Member:
    """What a member is over the responses and pairs that it reads; rewards: [R]."""
    read = rewards[~np.isnan(rewards)]
    margins = table.margins(rewards)
    margins = margins[~np.isnan(margins)]
    if not len(margins):
        raise RunError(f"member {name!r} reads no held-out pair: name data with Comparisons that it reads")
    if read.min() == read.max():
        raise RunError(f"member {name!r} gives all {len(read)} held-out responses the reward {read[0]}")
    mean, spread = (float(read.mean()), float(read.std())) if standardise else (0.0, 1.0)
    accuracy = float(np.mean((margins > 0) + 0.5 * (margins == 0)))
    margin = float(margins.mean()) / spread
    return Member(
        name=name, text_only=text_only, mean=mean, spread=spread, accuracy=accuracy, margin=margin,
        weight=_weight(name, rule, accuracy, margin),
    )  # fmt: skip


def _weight(name: str, rule: Rule, accuracy: float, margin: float) -> float:
    weight = {"accuracy": accuracy, "confidence": margin}.get(rule, 1.0)
    if weight <= 0:
        raise RunError(
            f"member {name!r} has {rule} {weight:.4f} on the held-out pairs, which is no weight: leave it out, or "
            "choose another rule"
        )
    return weight
