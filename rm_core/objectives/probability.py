"""What rewards say about two responses: the probabilities whose logarithms the objectives sum up.

Outputs are those of the head, [N] or [N, 2], of N first and N second responses; of any float type, computed in float32.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from rm_core.objectives.pairwise import log_tie_constant, standard_gap

__all__ = ["Outcome", "davidson_probabilities", "rao_kupper_probabilities", "win_probability"]


class Outcome(NamedTuple):
    """Probabilities of a match, each float32 [N]; they add up to 1."""

    win: Tensor
    """The first response is better."""
    tie: Tensor
    """They are equally good."""
    loss: Tensor
    """The second response is better."""


def win_probability(output_i: Tensor, output_j: Tensor) -> Tensor:
    """P(i is better than j), float32 [N]: sigmoid of the gap, or Phi of the standardised gap of Gaussian outputs.

    Gaps of 2, 0 and -2 give 0.8808, 0.5 and 0.1192; means 2 apart with variances of 1 each give Phi(1.4142) = 0.9214.

    Raises:
        ValueError: outputs are neither two [N] nor two [N, 2].
    """
    _check(output_i, output_j, dimensions=(1, 2))
    if output_i.ndim == 1:
        return torch.sigmoid(output_i.float() - output_j.float())
    probability: Tensor = torch.special.ndtr(standard_gap(output_i.float(), output_j.float()))
    return probability


def rao_kupper_probabilities(output_i: Tensor, output_j: Tensor, log_theta: float) -> Outcome:
    """Win, tie and loss of i against j by Rao and Kupper (1967); `log_theta` is the objective's `tie_parameter`.

    A gap of 2 with log_theta 1 gives 0.7311, 0.2215 and 0.0474.

    Raises:
        ValueError: outputs are not two [N].
    """
    _check(output_i, output_j, dimensions=(1,))
    gap = output_i.float() - output_j.float()
    win, loss = logsigmoid(gap - log_theta), logsigmoid(-gap - log_theta)
    return Outcome(win.exp(), (win + loss + log_tie_constant(log_theta)).exp(), loss.exp())


def davidson_probabilities(output_i: Tensor, output_j: Tensor, nu: float) -> Outcome:
    """Win, tie and loss of i against j by Davidson (1970); `nu` is the objective's `tie_parameter`.

    A gap of 2 with nu 1 gives 0.6652, 0.2447 and 0.0900.

    Raises:
        ValueError: outputs are not two [N].
    """
    _check(output_i, output_j, dimensions=(1,))
    half = (output_i.float() - output_j.float()) / 2
    logits = torch.stack([half, torch.full_like(half, math.log(nu)), -half])
    return Outcome(*torch.softmax(logits, dim=0).unbind())


def _check(output_i: Tensor, output_j: Tensor, *, dimensions: tuple[int, ...]) -> None:
    shapes = tuple(output_i.shape), tuple(output_j.shape)
    if shapes[0] != shapes[1] or output_i.ndim not in dimensions or (output_i.ndim == 2 and output_i.shape[1] != 2):
        wanted = " or ".join("[N]" if dimension == 1 else "[N, 2]" for dimension in dimensions)
        raise ValueError(f"outputs of shapes {list(shapes[0])} and {list(shapes[1])}: both must be {wanted}")
