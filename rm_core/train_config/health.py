"""What a recipe may say about the health of a training, and about its profile."""

from dataclasses import dataclass

from data_pipeline.bounds import bounded
from data_pipeline.errors import RecipeError

__all__ = ["HealthConfig", "ProfileConfig", "check_profile"]


@dataclass(kw_only=True)
class HealthConfig:
    """What is looked at while a model trains, and when that ends the training."""

    max_skipped_steps: int = bounded(3, at_least=0)
    """Steps in a row that are left out because a loss or a gradient is not finite; one more ends the training."""
    compare_ranks_every: int = bounded(100, at_least=0)
    """Optimiser steps between two looks at whether all ranks hold the same weights, rates and position; 0: none."""
    reward_drift: float = bounded(10.0, at_least=0)
    """Warns where the rewards of a window lie so many first standard deviations off the first window's mean, or spread
    so many times as far; 0: never."""
    stop_on_drift: bool = False
    """End the training instead of warning."""
    data_wait: float = bounded(0.5, above=0, at_most=1)
    """Warns where a rank waited for its rows for more than this share of three windows in a row, 0 to 1."""


@dataclass(kw_only=True)
class ProfileConfig:
    """Traces of PyTorch's profiler, kept as files of the MLflow run."""

    steps: list[int] = bounded([], at_least=1, cure="steps are counted from 1")
    """Optimiser steps to trace, each counted from 1 as in the metrics; none: no profiler."""
    ranks: list[int] = bounded([0], at_least=0)
    """Ranks whose traces are kept."""


def check_profile(profile: ProfileConfig, *, num_workers: int) -> None:
    """Refuse steps to trace without a rank, and ranks that the group does not have.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    if profile.steps and not profile.ranks:
        raise RecipeError("train.profile.ranks is empty: name the ranks to trace, for example [0]")
    if profile.steps and max(profile.ranks) >= num_workers:
        ranks = f"ranks are 0 to {num_workers - 1} with train.num_workers={num_workers}"
        raise RecipeError(f"train.profile.ranks={profile.ranks}: {ranks}")
