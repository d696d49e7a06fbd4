"""What it costs a judge to give the wrong verdict: cross entropy of the right one, among all tokens.

A pair that a record judges weighs 1, whether it is asked about in one order or in both, so that the loss of a step is
divided by its pairs.
A judge that reasons learns all that it writes, the reasoning too: of a question the mean of -log P over these tokens.
Legend: Q questions of the row, N tokens that are to be written.
"""

from dataclasses import replace

from torch import Tensor

from rm_core.batches.targets import Targets
from rm_core.batches.verdicts import Verdicts
from rm_core.objectives.terms import Judged, Term

__all__ = ["REASONING", "VERDICT", "with_reasonings", "with_verdicts"]

VERDICT = "verdict"
"""Name of the term, the only one of a judge."""
REASONING = "reasoning"
"""The same of a judge that reasons."""


def with_verdicts(judged: Judged, costs: Tensor, verdicts: Verdicts, *, pairs: int) -> Judged:
    """What is measured of a row, with the loss of its verdicts in the place of one on rewards.

    Args:
        costs: float32 [2 Q], -log P of both verdicts of each question.
        verdicts: on the same device.
        pairs: ordered pairs that the row's records judge.
    """
    total = (costs[verdicts.right] * verdicts.weight).sum()
    return replace(judged, terms={VERDICT: Term(total, "pairs", pairs)})


def with_reasonings(judged: Judged, costs: Tensor, targets: Targets, verdicts: Verdicts, *, pairs: int) -> Judged:
    """As `with_verdicts`, with the loss of reasonings and the verdicts in them.

    Args:
        costs: float32 [2 Q + N], -log P of both verdicts of each question, then of what is to be written.
        targets: parallel, on the same device.
    """
    both = 2 * len(verdicts.first)
    sums = costs.new_zeros(len(verdicts.first)).index_add(0, targets.owner[both:], costs[both:])
    means = sums / (targets.lengths - 2).clamp(min=1)
    return replace(judged, terms={REASONING: Term((means * verdicts.weight).sum(), "pairs", pairs)})
