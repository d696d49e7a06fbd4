"""What a recipe may say about which weights train, and when."""

from dataclasses import dataclass, field

from data_pipeline.errors import RecipeError
from rm_core.model.config import GROUPS

__all__ = ["GroupConfig", "StageConfig", "WeightsConfig", "check_stages", "check_weights"]

MODES = ("full", "lora", "frozen")
ONLY = ("all", "images", "text")


@dataclass(kw_only=True)
class GroupConfig:
    """One group of weights."""

    train: str = "full"
    """full: all its weights; lora: low-rank adapters beside its linear layers (`train.lora`); frozen: none."""
    learning_rate: float | None = None
    """Peak learning rate of the group; unset: `optimizer.learning_rate`."""
    weight_decay: float | None = None
    """Decay of the group's matrices; unset: `optimizer.weight_decay`."""


@dataclass(kw_only=True)
class WeightsConfig:
    """Which weights train. A text-only backbone has no vision and no merger."""

    vision: GroupConfig = field(default_factory=GroupConfig)
    """The vision tower without its merger."""
    merger: GroupConfig = field(default_factory=GroupConfig)
    """The projection from the tower into the language model."""
    language: GroupConfig = field(default_factory=GroupConfig)
    """The decoder's layers and its last norm."""
    embeddings: GroupConfig = field(default_factory=GroupConfig)
    """The table of token embeddings."""
    head: GroupConfig = field(default_factory=GroupConfig)
    """The reward head; full or frozen."""


@dataclass(kw_only=True)
class StageConfig:
    """One part of a training with data and rates of its own; warm-up and decay run anew in each."""

    name: str = ""
    """For metrics and messages; unset: its number."""
    only: str = "all"
    """Comparisons of this stage: all, images (those that show an image or a video), or text (the others)."""
    epochs: float = 1.0
    """Passes over these Comparisons; ignored where `steps` is set."""
    steps: int | None = None
    """Optimiser steps; unset: from `epochs`."""
    rate: float = 1.0
    """Share of every group's peak learning rate in this stage."""
    held: list[str] = field(default_factory=list)
    """Groups that this stage leaves as they are, by name: vision, merger, language, embeddings, head."""


def check_weights(weights: WeightsConfig) -> None:
    """Refuse what cannot train.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    for name in GROUPS:
        group: GroupConfig = getattr(weights, name)
        modes = MODES if name not in ("head", "embeddings") else ("full", "frozen")
        if group.train not in modes:
            raise RecipeError(f"train.weights.{name}.train={group.train!r}: choose one of {', '.join(modes)}")
        for key in ("learning_rate", "weight_decay"):
            value = getattr(group, key)
            if value is not None and value < 0:
                raise RecipeError(f"train.weights.{name}.{key}={value} must not be negative")
    if all(getattr(weights, name).train == "frozen" for name in GROUPS):
        raise RecipeError("every group of train.weights is frozen: let at least train.weights.head train")


def check_stages(stages: list[StageConfig]) -> None:
    """Refuse stages that say nothing sensible.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    for number, stage in enumerate(stages):
        key = f"train.stages.{number}"
        if stage.only not in ONLY:
            raise RecipeError(f"{key}.only={stage.only!r}: choose one of {', '.join(ONLY)}")
        if unknown := [name for name in stage.held if name not in GROUPS]:
            raise RecipeError(f"{key}.held names {unknown[0]!r}: choose from {', '.join(GROUPS)}")
        if stage.steps is not None and stage.steps < 1:
            raise RecipeError(f"{key}.steps={stage.steps} must be at least 1; leave it out to train by epochs")
        if stage.steps is None and stage.epochs <= 0:
            raise RecipeError(f"{key}.epochs={stage.epochs} must be above 0")
        if stage.rate <= 0:
            raise RecipeError(f"{key}.rate={stage.rate} must be above 0: name what is to stand still in {key}.held")
