"""Recipe and manifest -> the whole plan of a training. Cheap: the driver makes it before it asks for a cluster."""

import math

from data_pipeline.dataset import PreparedData
from rm_core.batches.plan import PackBudget, Plan
from rm_core.batches.sizes import PlanningTable
from rm_core.training.config import TrainConfig

__all__ = ["make_plan"]


def make_plan(config: TrainConfig, data: PreparedData) -> tuple[PlanningTable, Plan]:
    """The planning table of the training split and the whole plan; the same on every rank and in the driver."""
    table = PlanningTable.from_rows(data.rows, data.split_indices("train"))
    num_steps = config.max_steps or math.ceil(config.epochs * len(table) / config.global_batch)
    plan = Plan(
        table,
        seed=config.seed,
        global_batch=config.global_batch,
        num_steps=num_steps,
        budget=PackBudget(tokens=config.token_budget, patches=config.patch_budget),
    )
    return table, plan
