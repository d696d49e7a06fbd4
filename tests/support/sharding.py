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
"""DeepSpeed's stage; or FSDP's behind its name, and when it sends gradients: ``fsdp-3``, ``fsdp-2-step``."""


def sharded_by(how: How, **more: Any) -> dict[str, Any]:
    """`engine` and `zero` of a `TrainConfig`."""
    if isinstance(how, int):
        return {"engine": "deepspeed", "zero": ZeroConfig(stage=how, **more)}
    engine, stage, *reduce = how.split("-")
    return {"engine": engine, "zero": ZeroConfig(stage=int(stage), reduce=reduce[0] if reduce else "auto", **more)}


def begin(
    model: RewardModel,
    config: TrainConfig,
    share: Callable[[str, int], float] = lambda *_: 1.0,
    make_optimizer: Callable[[ParameterGroups], torch.optim.Optimizer] | None = None,
) -> Engine:
    """The engine of `config`."""
    return make_engine(model, config, share, make_optimizer=make_optimizer)
