"""Recipe and manifest -> the whole plan of a training. Cheap: the driver makes it before it asks for a cluster."""

import math

from data_pipeline.dataset import PreparedData
from data_pipeline.storage import is_local
from data_pipeline.storage.cache import ShardCache
from rm_core.batches.plan import PackBudget, Plan
from rm_core.batches.sizes import PlanningTable
from rm_core.training.config import TrainConfig

__all__ = ["make_plan", "open_data"]


def open_data(config: TrainConfig) -> PreparedData:
    """The prepared data as a worker reads it: remote shards through a cache on its machine.

    Raises:
        MissingInput, CorruptData: as for `PreparedData.open`.
    """
    cache = None if is_local(config.data) else ShardCache(config.cache_dir, config.cache_bytes)
    return PreparedData.open(config.data, cache)


def make_plan(config: TrainConfig, data: PreparedData) -> tuple[PlanningTable, Plan]:
    """The planning table of an epoch of training and the whole plan; the same on every rank and in the driver."""
    index = data.epoch_indices("train")
    table = PlanningTable.from_rows(data.all_rows, index, places=data.places(index))
    num_steps = config.max_steps or math.ceil(config.epochs * len(table) / config.global_batch)
    plan = Plan(
        table,
        seed=config.seed,
        global_batch=config.global_batch,
        num_steps=num_steps,
        budget=PackBudget(tokens=config.token_budget, patches=config.patch_budget),
    )
    return table, plan
