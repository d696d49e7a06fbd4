"""Pairwise objectives: what it costs that one response was judged better than another.

Outputs of the head are scalars [R] (Bradley and Terry, 1952: -log sigmoid of the gap) or means and log-variances
[R, 2] of independent Gaussians (Thurstone, 1927, case III: -log Phi of the gap over its spread).

Functions keep the type of their input, float32 in training, and divide by nothing.

Pairwise objectives in which a tie is an outcome of its own, beside a win and a loss.

Both add one parameter to Bradley-Terry, which has no ties. `gap` is the reward of the better response minus that of the
worse; for a tie, of either minus the other.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

__all__ = [
    "davidson",
    "log_normal_cdf",
    "log_tie_constant",
    "means",
    "rao_kupper",
    "soft_cost",
    "standard_gap",
    "win_cost",
]


def means(output: Tensor) -> Tensor:
    """The rewards [R] of the head's output, [R] or [R, 2]."""
    return output if output.ndim == 1 else output[:, 0]


def win_cost(output: Tensor, better: Tensor, worse: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """-log P(better beats worse) of N pairs, [N].

    Scalar margins of 2, 0 and -2 cost 0.1269, 0.6931 and 2.1269; a margin of -1e4 costs 1e4, not infinity.

    Args:
        output: [R] or [R, 2].
        better, worse: int64 [N], indices into R.
        margin: reward by which the better one has to lead, one or [N].
    """
    if output.ndim == 1:
        return softplus(margin - (output[better] - output[worse]))
    return -log_normal_cdf(standard_gap(output[better], output[worse], margin))


def soft_cost(output: Tensor, first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Cross entropy of N matches against `share` [N], the chance that the first response is the better one."""
    return share * win_cost(output, first, second) + (1 - share) * win_cost(output, second, first)


def standard_gap(output_i: Tensor, output_j: Tensor, margin: Tensor | float = 0.0) -> Tensor:
    """(mean_i - mean_j - margin) / sqrt(variance_i + variance_j) of two Gaussian outputs [N, 2], [N]."""
    gap = output_i[:, 0] - output_j[:, 0] - margin
    # The sum of the variances in the log: neither overflows where it is used, only the quotient counts.
    inverse_spread = torch.exp(-0.5 * torch.logaddexp(output_i[:, 1], output_j[:, 1]))
    return gap * inverse_spread


class _LogNormalCdf(torch.autograd.Function):
    """log Phi(x) with the gradient phi(x) / Phi(x) = sqrt(2 / pi) / erfcx(-x / sqrt(2)).

    `torch.special.log_ndtr` has the right value and, in torch 2.13, exponentiates it for the gradient: in float32 that
    is 6.5e4 at x = -1e4 and 0.4 at -1e5, where -x is right.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        value: Tensor = torch.special.log_ndtr(x)
        return value

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        scaled: Tensor = torch.special.erfcx(x * -math.sqrt(0.5))
        return grads[0] * (math.sqrt(2 / math.pi) / scaled)


def log_normal_cdf(x: Tensor) -> Tensor:
    """The logarithm of Phi(x), the standard normal distribution function: -5e7 at x = -1e4, with a gradient of 1e4."""
    result: Tensor = _LogNormalCdf.apply(x)  # type: ignore[no-untyped-call]
    return result


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
