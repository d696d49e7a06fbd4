"""How a toy training is sharded, in a word that a test's id can show."""

from collections.abc import Callable
from typing import Any

import torch

from rm_core.model.reward_model import RewardModel
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.train_config.parameter_groups import ParameterGroups
from rm_core.training.engines.choose import make_engine
from rm_core.training.engines.interface import Engine

__all__ = ["How", "begin", "sharded_by"]

How = int | str
"""DeepSpeed's stage; or FSDP's behind its name, when it sends gradients, and how many ranks share a copy: ``fsdp-3``,
``fsdp-2-step``, ``fsdp-3-row-2``."""


def sharded_by(how: How, **more: Any) -> dict[str, Any]:
    """`engine` and `zero` of a `TrainConfig`."""
    if isinstance(how, int):
        return {"engine": "deepspeed", "zero": ZeroConfig(stage=how, **more)}
    engine, stage, *given = how.split("-")
    reduce, size = (*given, *("auto", "0")[len(given) :])
    return {"engine": engine, "zero": ZeroConfig(stage=int(stage), reduce=reduce, shard_size=int(size), **more)}


def begin(
    model: RewardModel,
    config: TrainConfig,
    share: Callable[[str, int], float] = lambda *_: 1.0,
    make_optimizer: Callable[[ParameterGroups], torch.optim.Optimizer] | None = None,
) -> Engine:
    """The engine of `config`."""
    return make_engine(model, config, share, make_optimizer=make_optimizer)
