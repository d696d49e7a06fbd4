"""What an objective returns: sums and counts of one row, divided nowhere."""

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

__all__ = ["Judged", "Term", "Unit"]

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
