"""One optimiser step of a toy model through the engine, split into ranks and packed rows, and its gradient."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from loader_toys import ToyComparisons
from sharding import How, begin, sharded_by
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison
from rm_core.batches.loader import PackLoader
from rm_core.model.reward_model import RewardModel
from rm_core.packing.plan import PackBudget, Plan
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.accumulation import Accumulator, StepSums, check_work
from rm_core.training.engines.interface import Engine

RATE = 2.0**12
"""SGD's rate: so large that (before - after) / RATE is the gradient, and weights do not round it."""
BUDGETS = {
    "one Comparison a row": PackBudget(tokens=60, patches=64),
    "few rows": PackBudget(tokens=140, patches=96),
    "roomy": PackBudget(tokens=280, patches=96),
}


class _Quiet:
    """Phases that nobody watches."""

    def enter(self, *_: Any, **__: Any) -> None:
        """Nothing."""

    def wait(self) -> None:
        """Nothing."""


def step_gradient(
    model: RewardModel,
    items: Sequence[EncodedComparison],
    accumulator_of: Callable[[Engine, RewardModel, Any], Accumulator],
    *,
    paradigm: str,
    how: How,
    budget: str,
) -> tuple[dict[str, Tensor], StepSums]:
    """On every rank of the group that calls it: the gradient of a step of all items, and what was added up.

    Args:
        accumulator_of: of an engine, its model and phases.
    """
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    config = TrainConfig(
        paradigm=paradigm, precision="fp32", **sharded_by(how),
        optimizer=OptimizerConfig(learning_rate=RATE, max_grad_norm=0.0),
    )  # fmt: skip
    engine = begin(model, config, make_optimizer=lambda groups: torch.optim.SGD(groups, lr=RATE))
    model.train()
    data = ToyComparisons(items)
    plan = Plan(data.table(), seed=0, global_batch=len(items), num_steps=1, budget=BUDGETS[budget])
    loader = PackLoader(
        data, data.table(), plan, rank=engine.world_rank, world_size=engine.world_size,
        row_format=model.row_format, prefetch=1,
    )  # fmt: skip
    accumulator = accumulator_of(engine, model, _Quiet())
    ((step, sums),) = [(step.plan, accumulator.run(step, rows)) for step, rows in loader.steps(0)]
    check_work(step, sums, model.kernel)
    engine.step()
    return {name: (before[name] - value) / RATE for name, value in engine.weights()}, sums
