"""What a recipe may say about the health of a training, and about its profile."""

from dataclasses import dataclass, field

from data_pipeline.errors import RecipeError

__all__ = ["HealthConfig", "ProfileConfig", "check_health"]


@dataclass(kw_only=True)
class HealthConfig:
    """What is looked at while a model trains, and when that ends the training."""

    max_skipped_steps: int = 3
    """Steps in a row that are left out because a loss or a gradient is not finite; one more ends the training."""
    compare_ranks_every: int = 100
    """Optimiser steps between two looks at whether all ranks hold the same weights, rates and position; 0: none."""
    reward_drift: float = 10.0
    """Warns where the rewards of a window lie so many first standard deviations off the first window's mean, or spread
    so many times as far; 0: never."""
    stop_on_drift: bool = False
    """End the training instead of warning."""
    data_wait: float = 0.5
    """Warns where a rank waited for its rows for more than this share of three windows in a row, 0 to 1."""


@dataclass(kw_only=True)
class ProfileConfig:
    """Traces of PyTorch's profiler, kept as files of the MLflow run."""

    steps: list[int] = field(default_factory=list)
    """Optimiser steps to trace, each counted from 1 as in the metrics; none: no profiler."""
    ranks: list[int] = field(default_factory=lambda: [0])
    """Ranks whose traces are kept."""


def check_health(health: HealthConfig, profile: ProfileConfig, *, num_workers: int) -> None:
    """Refuse what cannot be.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    for key in ("max_skipped_steps", "compare_ranks_every", "reward_drift"):
        if getattr(health, key) < 0:
            raise RecipeError(f"train.health.{key}={getattr(health, key)} must be at least 0")
    if not 0 < health.data_wait <= 1:
        raise RecipeError(f"train.health.data_wait={health.data_wait} must be above 0 and at most 1")
    if min(profile.steps, default=1) < 1:
        raise RecipeError(f"train.profile.steps={profile.steps}: steps are counted from 1")
    if profile.steps and not profile.ranks:
        raise RecipeError("train.profile.ranks is empty: name the ranks to trace, for example [0]")
    if profile.steps and not 0 <= min(profile.ranks) <= max(profile.ranks) < num_workers:
        ranks = f"ranks are 0 to {num_workers - 1} with train.num_workers={num_workers}"
        raise RecipeError(f"train.profile.ranks={profile.ranks}: {ranks}")
