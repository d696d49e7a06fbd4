"""The plan of a training on more ranks than there are here: computed; only the time of scheduling is measured."""

import time
from statistics import mean, median

import numpy as np
import pyarrow as pa

from benchmarks.plan.balance import straggler_factor
from benchmarks.plan.cases import COST_MODEL, PATCHES, SEED, TOKENS, batches
from rm_core.packing.plan import PackBudget, Plan
from rm_core.packing.sizes import PlanningTable
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.train_config.config import TrainConfig

__all__ = ["RANKS", "plan_figures", "show_plan"]

RANKS = (64, 256, 1024)
A_RANK = 8
"""Comparisons of a step for each rank."""
STEPS = 20
COMPARISONS = 400_000
STATE_BYTES = 12
"""Of a weight in a checkpoint: float32 master and two moments."""
NODE_GB_S = 5.0
GPUS_A_NODE = 8
"""Of the upload, assumed: what a node of 8 GPUs sends to an object store (40 Gbit/s)."""


def plan_figures() -> dict[str, float]:
    """For each of `RANKS`, 7B and a step of `A_RANK` Comparisons a rank."""
    rows = pa.Table.from_batches(batches(COMPARISONS, SEED))
    table = PlanningTable.from_rows(rows, np.arange(len(rows), dtype=np.int32), cost_model=COST_MODEL)
    numel = architecture_of(config_of_shape("7b"), TrainConfig()).numel
    figures: dict[str, float] = {}
    for ranks in RANKS:
        scene = _scene(table, ranks)
        scene |= {
            "checkpoint_gb": STATE_BYTES * numel / 1e9,
            "checkpoint_gb_a_rank": STATE_BYTES * numel / 1e9 / ranks,
            "upload_s": STATE_BYTES * numel / 1e9 / ranks * GPUS_A_NODE / NODE_GB_S,
        }
        figures |= {f"{name}_{ranks}_ranks": value for name, value in scene.items()}
    return figures


def _scene(table: PlanningTable, ranks: int) -> dict[str, float]:
    budget = PackBudget(tokens=TOKENS, patches=PATCHES)
    start_s = time.perf_counter()
    plan = Plan(table, seed=SEED, global_batch=A_RANK * ranks, num_steps=STEPS, budget=budget)
    factors, over_least, milliseconds, filled = [], [], [], []
    first_s = 0.0
    for index in range(STEPS):
        step = plan.step(index)
        first_s = first_s or time.perf_counter() - start_s
        begin_s = time.perf_counter()
        schedule = plan.schedule(step, ranks)
        milliseconds.append(1000 * (time.perf_counter() - begin_s))
        factors.append(straggler_factor(schedule))
        costs = table.cost[list(step.rows)]
        # No plan is better than its largest Comparison alone on a rank.
        least = max(1.0, float(costs.max()) * ranks / float(costs.sum(dtype=np.float64)))
        over_least.append(factors[-1] / least)
        packs = sum(len(rank_packs) for rank_packs in schedule)
        filled.append(float(table.num_tokens[list(step.rows)].sum()) / (packs * TOKENS))
    return {
        "straggler": mean(factors), "straggler_worst": max(factors), "over_least": mean(over_least),
        "filled": mean(filled), "schedule_ms": median(milliseconds), "first_step_s": first_s,
    }  # fmt: skip


def show_plan(figures: dict[str, float]) -> None:
    """A table for people."""
    names = list(dict.fromkeys(name.rsplit("_", 2)[0] for name in figures if name.endswith("_ranks")))
    print(f"{'7B, simulated':24}" + "".join(f"{ranks:>12} ranks" for ranks in RANKS))
    for name in names:
        print(f"{name:24}" + "".join(f"{figures[f'{name}_{ranks}_ranks']:>18.3f}" for ranks in RANKS))
