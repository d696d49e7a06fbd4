"""Rewards of held-out Comparisons -> an ensemble: scales, weights, temperature."""

from collections.abc import Set as AbstractSet

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.ensembles.calibration import best_temperature
from rm_core.ensembles.combine import Rule, combine
from rm_core.ensembles.ensemble import Ensemble, Member
from rm_core.ensembles.table import ScoreTable

__all__ = ["fit"]

Floats = npt.NDArray[np.float64]


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
