"""What an objective returns: sums and counts of one row, divided nowhere; and its terms beside the rank term.

Those, on scalar rewards [R], keep rewards near zero or free of length.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Judged", "Term", "Unit", "batch_zero", "length_normalised", "squared_rewards", "squared_sums"]

Unit = Literal["comparisons", "pairs", "matches", "responses"]
"""What a term is divided by over the whole optimiser step: an attribute of `rm_core.packing.sizes.StepCounts`."""


@dataclass(frozen=True, slots=True)
class Term:
    """One part of the loss. The loss of a step is the sum of `sum` over rows and ranks / `StepCounts.<unit>`.

    Attributes:
        sum: float32 scalar with gradient, summed over this row; its coefficient is multiplied in.
        unit: what the sum is divided by.
        count: units of this row; over all rows and ranks of a step they add up to `StepCounts.<unit>`.
    """

    sum: Tensor
    unit: Unit
    count: int


@dataclass(frozen=True, slots=True)
class Judged:
    """What an objective says about one row.

    Attributes:
        terms: "rank" always; "zero", "batch_zero" and "l2" where they are switched on.
        num_correct: ordered pairs whose better response has the strictly higher reward, scalar without gradient.
        margin_sum: sum over ordered pairs of reward of the better - reward of the worse, float32 scalar, no gradient.
    """

    terms: dict[str, Term]
    num_correct: Tensor
    margin_sum: Tensor


def squared_sums(rewards: Tensor, pairs: Tensor) -> Tensor:
    """(r_better + r_worse)^2 of each ordered pair [2, N], [N]: L_zero of the BaseReward paper's Algorithm 1."""
    return (rewards[pairs[0]] + rewards[pairs[1]]).square()


def batch_zero(rewards: Tensor, step_mean: Tensor) -> Tensor:
    """The row's share of (mean reward of the step)^2, scalar: 2 m sum(r) - R m^2 for the detached step mean m.

    Summed over the rows of a step and divided by its responses it has the value and the gradient of the square, and
    needs no reward of another row.
    """
    mean = step_mean.detach().to(rewards)
    return 2 * mean * rewards.sum() - len(rewards) * mean.square()


def squared_rewards(rewards: Tensor) -> Tensor:
    """r^2 of each response, [R]."""
    return rewards.square()


def length_normalised(output: Tensor, lengths: Tensor) -> Tensor:
    """Rewards over log(length + 1), the paper's Algorithm 1, with the length in tokens (it does not say which unit).

    Args:
        output: [R], or [R, 2]; means are divided, and variances by the square.
        lengths: int64 [R], tokens of the response with its closing one, so at least 1.
    """
    scale = torch.log1p(lengths.to(output.dtype))
    if output.ndim == 1:
        return output / scale
    return torch.stack([output[:, 0] / scale, output[:, 1] - 2 * scale.log()], dim=1)
