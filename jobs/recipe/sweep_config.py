"""What a recipe may say about a sweep."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from data_pipeline.bounds import bounded, check_bounds, one_of
from data_pipeline.errors import RecipeError
from rm_core.evaluation.names import SUITE_NAMES

__all__ = ["StopEarlyConfig", "SweepConfig", "check_sweep_config"]

METRICS = (
    "accuracy", "accuracy_low", "accuracy_high", "top1_accuracy", "image_accuracy", "text_accuracy",
    "blank_image_accuracy", "length_only_accuracy", "mean_margin", "calibration_error", "reward_length_spearman",
)  # fmt: skip
"""The numbers of `rm_core.evaluation.results.EvaluationReport.numbers` that a sweep may rank by."""


@dataclass(kw_only=True)
class StopEarlyConfig:
    """End trials whose training loss is behind the others' (asynchronous successive halving, arXiv:1810.05934)."""

    grace_steps: int = bounded(100, at_least=1)
    """Steps that every trial is given before it may be ended."""
    reduction: float = bounded(3.0, above=1, cure="3 keeps a third")
    """At this number of steps, and at each power of `reduction` times it, the best 1 in `reduction` trials go on."""


@dataclass(kw_only=True)
class SweepConfig:
    """Many trainings that differ in some settings, each evaluated (`basereward sweep`)."""

    method: str = one_of("grid", ("grid", "list", "search"))
    """grid: every combination of `parameters`; list: each of `points`; search: `num_samples` that Optuna chooses."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """Axes. A config key has a list of values; any other word has labels, each with its bundle ``{key: value}``, or
    null, which leaves a label of the recipe's base out. For search also a text: ``uniform(0, 1)``,
    ``loguniform(1e-6, 1e-4)``, ``int(1, 5)`` or ``choice(a, b)``."""
    points: dict[str, Any] = field(default_factory=dict)
    """For list: label -> bundle ``{key: value}``."""
    seeds: list[int] = bounded([0], at_least=-(2**63), below=2**63)
    """Each point once for each of these as ``train.seed``; search takes one."""
    num_samples: int = bounded(20, at_least=1)
    """Trials of a search."""
    metric: str = "accuracy"
    """What trials are ranked by and a search improves: a main number of the evaluation report, by its name."""
    mode: str = one_of("max", ("max", "min"))
    """max or min of `metric`."""
    max_concurrent: int | None = bounded(None, at_least=1)
    """Trials at once; unset: as many as the cluster has room for when the sweep begins."""
    stop_early: StopEarlyConfig | None = None
    """End trials that fall behind; unset: all run to their end."""
    max_failures: int = bounded(1, at_least=0)
    """Times a trial is started again, from its last checkpoint, after it failed."""
    output: str = "sweep"
    """The folder, local or ``s3://``, for the state of the sweep, its trials and its report."""
    report: str | None = one_of(None, ("scaling", "study"))
    """What the report shows: scaling, study, or unset for what fits."""
    paper_table: str | None = None
    """The paper's table that a study is set beside, by name."""


def check_sweep_config(config: SweepConfig) -> None:
    """Refuse what is wrong in the section itself; the trials' settings are checked when they are made.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    check_bounds(config, "sweep")
    if not config.seeds or len(set(config.seeds)) < len(config.seeds):
        raise RecipeError(f"sweep.seeds={config.seeds} must be one or more different numbers, such as [0, 1, 2]")
    _check_metric(config.metric)
    _check_axes(config)


def _check_metric(metric: str) -> None:
    of_source = metric.startswith("source/") and metric.endswith("/accuracy")
    of_suite = metric.startswith(tuple(f"suite/{name}/" for name in SUITE_NAMES))
    if metric in METRICS or of_source or of_suite:
        return
    near = get_close_matches(metric, METRICS, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(METRICS)}, source/NAME/accuracy"
    raise RecipeError(f"sweep.metric={metric!r} is no main number of an evaluation: {hint}")


def _check_axes(config: SweepConfig) -> None:
    wanted, other = ("points", "parameters") if config.method == "list" else ("parameters", "points")
    if not getattr(config, wanted):
        example = "large: {init_model.shape: mid}" if wanted == "points" else "train.head.layers: [1, 2, 3]"
        raise RecipeError(f"sweep.{wanted} is empty: sweep.method={config.method} needs some, such as {example}")
    if getattr(config, other):
        raise RecipeError(f"sweep.{other} is not read with sweep.method={config.method}: remove it, or set the method")
    if config.method == "search" and len(config.seeds) > 1:
        raise RecipeError(f"sweep.seeds={config.seeds}: a search takes one; repeat its best point with method: list")
