"""Standardised rewards of the members -> one reward a response, and how far the members are apart.

Letters of shapes: M members, R responses.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError

__all__ = ["RULES", "Combined", "Rule", "combine"]

Floats = npt.NDArray[np.float64]
Rule = Literal["mean", "accuracy", "confidence", "minimum", "median", "cautious"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""mean, accuracy, confidence: weighted means; weights are alike, held-out accuracies, or held-out margins. Source:
BaseReward, arXiv 2509.16127, Table 7.
minimum, median: over the members.
cautious: the mean less `penalty` times the spread. Source: Coste et al., arXiv 2310.02743, there with the variance.
"""


@dataclass(frozen=True, kw_only=True)
class Combined:
    """What an ensemble gives each response."""

    rewards: Floats
    """[R] higher is better."""
    spread: Floats
    """[R] standard deviation over the members that read the response, by their weights; 0 where one reads it."""
    num_members: npt.NDArray[np.int64]
    """[R] members that read it."""


def combine(standard: Floats, weights: Floats, rule: Rule, penalty: float = 1.0) -> Combined:
    """One reward a response.

    Args:
        standard: [M, R] rewards on one scale; NaN where a member does not read the response.
        weights: [M] at or above 0; of the members that read a response they are scaled to sum to 1.
        rule: how to combine; minimum and median do not look at the weights.
        penalty: standard deviations that the cautious rule takes off.

    Raises:
        RunError: a response that no member with a weight reads.
    """
    reads = ~np.isnan(standard)
    share = weights[:, None] * reads
    total = share.sum(axis=0)
    if not (total > 0).all():
        unread = int((total <= 0).sum())
        raise RunError(
            f"{unread} of {len(total)} responses are read by no member: an ensemble for images needs a member that "
            "sees them"
        )
    share = share / total
    filled = np.where(reads, standard, 0.0)
    mean = (share * filled).sum(axis=0)
    spread = np.sqrt((share * np.where(reads, standard - mean, 0.0) ** 2).sum(axis=0))
    if rule == "minimum":
        rewards = np.nanmin(standard, axis=0)
    elif rule == "median":
        rewards = np.nanmedian(standard, axis=0)
    else:
        rewards = mean - penalty * spread if rule == "cautious" else mean
    return Combined(rewards=rewards, spread=spread, num_members=reads.sum(axis=0))
