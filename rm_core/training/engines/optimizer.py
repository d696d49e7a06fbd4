"""The optimiser of every engine."""

import torch

from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import ParameterGroups

__all__ = ["adamw"]


def adamw(groups: ParameterGroups, config: TrainConfig) -> torch.optim.AdamW:
    """AdamW as the recipe says, fused where the parameters are on a GPU."""
    return torch.optim.AdamW(
        groups,
        betas=(config.optimizer.beta1, config.optimizer.beta2),
        eps=config.optimizer.epsilon,
        fused=torch.cuda.is_available() and not config.zero.offload_optimizer,
    )
