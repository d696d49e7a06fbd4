"""Parameters -> the optimiser's groups, and the learning rate of each at every step.

Groups are (part of the model) x (decays or not): matrices decay, vectors (biases, norms) do not.
"""

import math
from collections.abc import Callable
from typing import Any

from torch import nn

from rm_core.model.config import GROUPS
from rm_core.model.families import group_of
from rm_core.packing.plan import StagedPlan
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.weights import GroupConfig

__all__ = ["ParameterGroups", "adapted_groups", "freeze", "learning_rate_scale", "parameter_groups", "rate_of_stage"]

ParameterGroups = list[dict[str, Any]]
RateShare = Callable[[str, int], float]
"""(group, step) -> share of the group's peak learning rate."""


def freeze(model: nn.Module, config: TrainConfig, model_type: str) -> None:
    """Let no gradient reach the groups that the recipe freezes."""
    for name, parameter in model.named_parameters():
        group: GroupConfig = getattr(config.weights, group_of(name, model_type))
        if group.train == "frozen":
            parameter.requires_grad_(False)


def adapted_groups(config: TrainConfig) -> set[str]:
    """The groups that train by LoRA."""
    return {name for name in GROUPS if getattr(config.weights, name).train == "lora"}


def parameter_groups(model: nn.Module, config: TrainConfig, model_type: str) -> ParameterGroups:
    """The optimiser's groups, `name` being the part of the model; frozen parameters are in none."""
    found: ParameterGroups = []
    trained = [(name, value) for name, value in model.named_parameters() if value.requires_grad]
    for part in GROUPS:
        settings: GroupConfig = getattr(config.weights, part)
        optimizer = config.optimizer
        rate = optimizer.learning_rate if settings.learning_rate is None else settings.learning_rate
        decay = optimizer.weight_decay if settings.weight_decay is None else settings.weight_decay
        own = [value for name, value in trained if group_of(name, model_type) == part]
        for matrices, weight_decay in ((True, decay), (False, 0.0)):
            chosen = [value for value in own if (value.ndim >= 2) == matrices]
            if chosen:
                found.append({"name": part, "params": chosen, "lr": rate, "weight_decay": weight_decay})
    return found


def rate_of_stage(config: TrainConfig, plan: StagedPlan) -> RateShare:
    """Warm-up and decay anew in every stage; groups that a stage holds have the share 0."""

    def share(part: str, step: int) -> float:
        number, offset = plan.stage_of(step)
        scale = learning_rate_scale(
            offset,
            num_steps=plan.stages[number].plan.num_steps,
            warmup_ratio=config.optimizer.warmup_ratio,
            final_ratio=config.optimizer.final_ratio,
        )
        if not config.stages:
            return scale
        stage = config.stages[number]
        return 0.0 if part in stage.held else scale * stage.rate

    return share


def learning_rate_scale(step: int, *, num_steps: int, warmup_ratio: float, final_ratio: float) -> float:
    """Share of the peak rate at `step` (0-based): linear warm-up, then cosine down to `final_ratio` at the last step.

    With 100 steps, warm-up 0.1 and final 0.1: step 0 -> 0.1, step 9 -> 1.0, step 99 -> 0.1.
    """
    warmup = max(1, round(warmup_ratio * num_steps))
    if step < warmup:
        return (step + 1) / warmup
    progress = (step - warmup + 1) / max(1, num_steps - warmup)
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(1.0, progress)))
    return final_ratio + (1.0 - final_ratio) * cosine
