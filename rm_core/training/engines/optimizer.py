"""The optimiser of every engine, and the state that Adam keeps of each tensor."""

import torch
from torch import Tensor

from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import ParameterGroups
from rm_core.training.engines.interface import MOMENTS

__all__ = ["adamw", "make_moments", "updates_of"]


def adamw(groups: ParameterGroups, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW as the recipe says, fused where the parameters are on a GPU."""
    return torch.optim.AdamW(
        groups,
        betas=(config.optimizer.beta1, config.optimizer.beta2),
        eps=config.optimizer.epsilon,
        fused=torch.cuda.is_available() and not config.zero.offload_optimizer,
    )


def updates_of(optimizer: torch.optim.Optimizer) -> int:
    """Steps that it has taken, which its bias correction counts; 0 where it does not count."""
    for state in optimizer.state.values():
        if "step" in state:
            return int(state["step"])
    return 0


def make_moments(optimizer: torch.optim.Optimizer, weights: Tensor, num_updates: int) -> None:
    """Adam's state of `weights` as its first step would make it, after `num_updates` steps; what is there stays."""
    state = optimizer.state[weights]
    if state:
        return
    fused = any(group.get("fused") for group in optimizer.param_groups)
    state["step"] = torch.tensor(float(num_updates), device=weights.device if fused else "cpu")
    for kind in MOMENTS:
        state[kind] = torch.zeros_like(weights.detach(), memory_format=torch.preserve_format)
