"""Every Comparison of a table once, as one step: what an evaluation reads.

    all rows -> packs under the budgets (`first_fit`), without a look at the number of ranks
             -> turns of about equal cost, as many for every rank (`balance.assign`)

A pack holds the same Comparisons whoever runs it, so rewards do not depend on the number of ranks in a single bit.
"""

import numpy as np

from rm_core.packing.balance import assign
from rm_core.packing.first_fit import Pack, PackBudget
from rm_core.packing.plan import StepPlan, pack_first_fit
from rm_core.packing.sizes import PlanningTable, StepCounts

__all__ = ["WholeTable"]


class WholeTable:
    """A plan of one step.

    Raises:
        RecipeError: a Comparison alone exceeds a budget.
    """

    num_steps = 1

    def __init__(self, table: PlanningTable, budget: PackBudget) -> None:
        table.check_fits(tokens=budget.tokens, patches=budget.patches)
        rows = range(len(table))
        packs = tuple(pack_first_fit(rows, table, budget))
        counts = StepCounts(*table.counts(np.arange(len(table))[None, :])[0].tolist())
        self._step = StepPlan(index=0, epoch=1.0, rows=tuple(rows), packs=packs, counts=counts)

    def step(self, _index: int) -> StepPlan:
        """The one step."""
        return self._step

    def schedule(self, step: StepPlan, world_size: int) -> list[list[Pack]]:
        """The packs rank by rank, as many for every rank; empty ones, which are idle turns, only at the end."""
        return assign(step.packs, world_size)
