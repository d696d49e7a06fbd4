"""What it costs a judge to give the wrong verdict: cross entropy of the right one, among all tokens.

A pair that a record judges weighs 1, whether it is asked about in one order or in both, so that the loss of a step is
divided by its pairs.
Legend: Q questions of the row.
"""

from dataclasses import replace

from torch import Tensor

from rm_core.batches.verdicts import Verdicts
from rm_core.objectives.terms import Judged, Term

__all__ = ["VERDICT", "with_verdicts"]

VERDICT = "verdict"
"""Name of the term, the only one of a judge."""


def with_verdicts(judged: Judged, costs: Tensor, verdicts: Verdicts, *, pairs: int) -> Judged:
    """What is measured of a row, with the loss of its verdicts in the place of one on rewards.

    Args:
        costs: float32 [2 Q], -log P of both verdicts of each question.
        verdicts: on the same device.
        pairs: ordered pairs that the row's records judge.
    """
    total = (costs[verdicts.right] * verdicts.weight).sum()
    return replace(judged, terms={VERDICT: Term(total, "pairs", pairs)})
