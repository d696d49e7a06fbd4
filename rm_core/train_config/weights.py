"""What a recipe may say about which weights train, and when."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, one_of
from data_pipeline.errors import RecipeError
from rm_core.model.config import GROUPS

__all__ = ["GroupConfig", "StageConfig", "WeightsConfig", "check_trained_groups"]


@dataclass(kw_only=True)
class GroupConfig:
    """One group of weights."""

    train: str = one_of("full", ("full", "lora", "frozen"))
    """full: all its weights; lora: low-rank adapters beside its linear layers (`train.lora`); frozen: none."""
    learning_rate: float | None = bounded(None, at_least=0)
    """Peak learning rate of the group; unset: `optimizer.learning_rate`."""
    weight_decay: float | None = bounded(None, at_least=0)
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
    """The table of token embeddings, and the language-model head of a model that writes."""
    head: GroupConfig = field(default_factory=GroupConfig)
    """The reward head; full or frozen."""


@dataclass(kw_only=True)
class StageConfig:
    """One part of a training with data and rates of its own; warm-up and decay run anew in each."""

    name: str = ""
    """For metrics and messages; unset: its number."""
    only: str = one_of("all", ("all", "images", "text"))
    """Comparisons of this stage: all, images (those that show an image or a video), or text (the others)."""
    epochs: float = bounded(1.0, above=0)
    """Passes over these Comparisons; ignored where `steps` is set."""
    steps: int | None = bounded(None, at_least=1, cure="leave it out to train by epochs")
    """Optimiser steps; unset: from `epochs`."""
    rate: float = bounded(1.0, above=0, cure="name what is to stand still in held")
    """Share of every group's peak learning rate in this stage."""
    held: list[str] = one_of([], GROUPS)
    """Groups that this stage leaves as they are, by name: vision, merger, language, embeddings, head."""


def check_trained_groups(weights: WeightsConfig) -> None:
    """Refuse adapters where there are no linear layers for them, and a model of which nothing trains.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    for name in ("head", "embeddings"):
        if (mode := getattr(weights, name).train) == "lora":
            raise RecipeError(f"train.weights.{name}.train={mode!r}: choose one of full, frozen")
    if all(getattr(weights, name).train == "frozen" for name in GROUPS):
        raise RecipeError("every group of train.weights is frozen: let at least train.weights.head train")
