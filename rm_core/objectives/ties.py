"""Pairwise objectives in which a tie is an outcome of its own, beside a win and a loss.

Both add one parameter to Bradley-Terry, which has no ties. `gap` is the reward of the better response minus that of the
worse; for a tie, of either minus the other.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["davidson", "log_tie_constant", "rao_kupper"]


def rao_kupper(gap: Tensor, tied: Tensor, log_theta: float) -> Tensor:
    """-log P of N outcomes, [N] (Rao and Kupper, 1967).

    P(win) = sigmoid(gap - log_theta), P(tie) = (theta^2 - 1) P(win) P(loss).

    Args:
        gap: [N].
        tied: bool [N].
        log_theta: above 0; gaps below it are more likely a tie than a win of the better.
    """
    other = softplus(log_theta + gap) - log_tie_constant(log_theta)
    return softplus(log_theta - gap) + torch.where(tied, other, 0.0)


def log_tie_constant(log_theta: float) -> float:
    """log(theta^2 - 1) without overflow: theta = e, so 2 log(theta) = 2, gives 1.8546."""
    return 2 * log_theta + math.log(-math.expm1(-2 * log_theta))


def davidson(gap: Tensor, tied: Tensor, nu: float) -> Tensor:
    """-log P of N outcomes, [N] (Davidson, 1970).

    P(win) : P(tie) : P(loss) = exp(gap / 2) : nu : exp(-gap / 2).

    Args:
        gap: [N].
        tied: bool [N].
        nu: above 0, odds of a tie between equals against one of them winning.
    """
    all_outcomes = torch.stack([torch.zeros_like(gap), math.log(nu) - gap / 2, -gap])
    return torch.logsumexp(all_outcomes, dim=0) + torch.where(tied, gap / 2 - math.log(nu), 0.0)
