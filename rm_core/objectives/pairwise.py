"""Pairwise objectives: rewards and ordered pairs -> (loss sum, count).

An objective never divides: the trainer divides by the count of the whole optimiser step over all ranks, so that the
gradient does not depend on how the step was split into ranks and packed rows.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import softplus

__all__ = ["PairwiseLoss", "bradley_terry"]


@dataclass(frozen=True, slots=True)
class PairwiseLoss:
    """What an objective returns; sums are over the pairs of this row."""

    sum: Tensor
    """Loss summed over pairs, float32 scalar, with gradient."""
    count: int
    """Ordered pairs."""
    num_correct: Tensor
    """Pairs whose better response has the strictly higher reward, scalar."""
    margin_sum: Tensor
    """Sum of (reward of the better - reward of the worse), scalar."""


def bradley_terry(rewards: Tensor, pairs: Tensor) -> PairwiseLoss:
    """-log sigmoid(r_better - r_worse), summed over all ordered pairs (Bradley and Terry, 1952).

    Args:
        rewards: float32 [R].
        pairs: int64 [2, N]; `pairs[0]` indexes the better, `pairs[1]` the worse response of each pair. N may be 0.

    Margins of 2, 0 and -2 cost 0.1269, 0.6931 and 2.1269; a margin of -1e4 costs 1e4, not infinity.
    """
    margins = (rewards[pairs[0]] - rewards[pairs[1]]).float()
    return PairwiseLoss(
        sum=softplus(-margins).sum(),
        count=pairs.shape[1],
        num_correct=(margins > 0).sum().detach(),
        margin_sum=margins.sum().detach(),
    )
