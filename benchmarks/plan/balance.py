"""How long ranks wait for each other: a step's time over its time at perfect balance, for several numbers of ranks.

A step takes the sum over its turns of the largest cost of a rank's row; at perfect balance all rows cost the mean.

    ours        `Plan.schedule`
    first fit   the packs of first-fit decreasing, assigned by falling cost: short last rows, and idle turns
"""

import time
from collections.abc import Sequence
from statistics import mean, median

import numpy as np
import pyarrow as pa

from benchmarks.plan.cases import COST_MODEL, GLOBAL_BATCH, PATCHES, SEED, TOKENS, batches
from rm_core.packing.balance import assign
from rm_core.packing.plan import Pack, PackBudget, Plan
from rm_core.packing.sizes import PlanningTable

COMPARISONS = 100_000
STEPS = 400
SCENES = {"2_ranks": (2, TOKENS), "8_ranks": (8, TOKENS), "64_ranks": (64, TOKENS), "64_ranks_8k": (64, 8192)}
"""Ranks, and tokens that a row may hold."""


def balance_figures() -> dict[str, float]:
    """Straggler factors, mean and worst of `STEPS` steps, and milliseconds that scheduling a step takes one rank."""
    rows = pa.Table.from_batches(batches(COMPARISONS, SEED))
    table = PlanningTable.from_rows(rows, np.arange(len(rows), dtype=np.int32), cost_model=COST_MODEL)
    figures: dict[str, float] = {}
    for scene, (world_size, tokens) in SCENES.items():
        budget = PackBudget(tokens=tokens, patches=PATCHES)
        plan = Plan(table, seed=SEED, global_batch=GLOBAL_BATCH, num_steps=STEPS, budget=budget)
        for name, value in _scene(plan, table, world_size).items():
            figures[f"{name}_{scene}"] = value
    return figures


def straggler_factor(schedule: Sequence[Sequence[Pack]]) -> float:
    """Time of a step over its time at perfect balance in as many turns, from the packs of each rank: at least 1."""
    costs = np.array([[pack.cost for pack in rank_packs] for rank_packs in schedule])
    return float(costs.max(axis=0).sum() / costs.mean(axis=0).sum())


def _scene(plan: Plan, table: PlanningTable, world_size: int) -> dict[str, float]:
    ours, first_fit, least, milliseconds = [], [], [], []
    for index in range(plan.num_steps):
        step = plan.step(index)
        start_s = time.perf_counter()
        schedule = plan.schedule(step, world_size)
        milliseconds.append(1000 * (time.perf_counter() - start_s))
        ours.append(straggler_factor(schedule))
        first_fit.append(straggler_factor(assign(step.packs, world_size)))
        costs = table.cost[list(step.rows)]
        least.append(max(1.0, float(costs.max()) * world_size / float(costs.sum(dtype=np.float64))))
    return {
        "straggler": mean(ours),
        "straggler_worst": max(ours),
        "straggler_first_fit": mean(first_fit),
        "straggler_first_fit_worst": max(first_fit),
        "straggler_least": mean(least),
        "schedule_ms": median(milliseconds),
    }


def show_balance(figures: dict[str, float]) -> None:
    """A table for people."""
    names = list(dict.fromkeys(name.removesuffix(f"_{scene}") for scene in SCENES for name in figures
                               if name.endswith(f"_{scene}")))  # fmt: skip
    print(f"{'':12}" + "".join(f"{name:>27}" for name in names))
    for scene in SCENES:
        print(f"{scene:12}" + "".join(f"{figures[f'{name}_{scene}']:>27.3f}" for name in names))
