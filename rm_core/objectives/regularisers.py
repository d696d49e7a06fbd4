"""What keeps rewards near zero, or free of length: terms beside the rank term, each on scalar rewards [R]."""

import torch
from torch import Tensor

__all__ = ["batch_zero", "length_normalised", "squared_rewards", "squared_sums"]


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
