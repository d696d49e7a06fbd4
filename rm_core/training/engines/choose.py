"""The engine that a recipe names."""

from collections.abc import Callable

import torch

from rm_core.model.reward_model import RewardModel
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import ParameterGroups, RateShare
from rm_core.training.engines.fsdp import FsdpEngine
from rm_core.training.engines.interface import Engine

__all__ = ["make_engine"]


def make_engine(
    model: RewardModel,
    config: TrainConfig,
    share: RateShare,
    *,
    make_optimizer: Callable[[ParameterGroups], torch.optim.Optimizer] | None = None,
) -> Engine:
    """The model under `config.engine`, on every rank; DeepSpeed is imported only where it is asked for.

    Args:
        model: the whole model, equal on all ranks.
        share: (part of the model, step) -> share of that part's peak learning rate.
        make_optimizer: parameter groups -> optimiser; AdamW as the recipe says, unless given.
    """
    if config.engine == "fsdp":
        return FsdpEngine(model, config, share, make_optimizer=make_optimizer)
    from rm_core.training.engines.zero import ZeroEngine  # seconds of imports

    return ZeroEngine(model, config, share, make_optimizer=make_optimizer)
