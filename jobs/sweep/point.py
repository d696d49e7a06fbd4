"""A finished trial in numbers: what it was, what it took, how well it does."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from safetensors import safe_open

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import escaped, join, list_files, read_json
from jobs.evaluate.publish import read_cost
from jobs.evaluate.publish_suites import SUITES_FILE
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.sweep.trials import TrialSpec
from rm_core.evaluation.results import EvaluationReport
from rm_core.evaluation.suites.registry import SUITES
from rm_core.model_folder.folder import lineage_of
from rm_core.model_folder.remote import local_model
from rm_core.planner.gpus import gpu_of
from rm_core.scaling.series import TrialPoint
from rm_core.training.data_plan import make_plan

__all__ = ["measure_point"]

BACKWARD = 3  # a step takes the FLOPs of its forward passes three times: once, and twice for the backward passes


def measure_point(
    recipe: Recipe,
    spec: TrialSpec,
    report: EvaluationReport,
    *,
    hours: float,
    on_gpus: bool,
    metrics: Mapping[str, float],
    run_id: str,
) -> TrialPoint:
    """Read what training and evaluation of a trial left.

    Args:
        report: of its evaluation.
        hours: workers times hours of training.
        on_gpus: whether the workers had GPUs, which have a price.
        metrics: the newest of the training's MLflow run.
        run_id: that run's id.
    """
    comparisons, flops = _work(recipe)
    ends, spent = report.overall.accuracy.interval, read_cost(recipe.evaluate.output)
    of_item = {} if spent is None else spent.numbers()
    return TrialPoint(
        id=spec.id,
        label=spec.label,
        axes=dict(spec.axes),
        overrides=dict(spec.overrides),
        seed=spec.seed,
        num_parameters=_num_parameters(join(recipe.train.output, "export")),
        num_comparisons=comparisons,
        compute_flops=flops,
        gpu_hours=hours,
        cost=_cost(recipe, hours, on_gpus=on_gpus),
        accuracy=report.overall.accuracy.value,
        log_loss=report.log_loss,
        train_loss=metrics["train/loss"],
        by_source={name: group.accuracy.value for name, group in report.by_source.items()},
        mlflow_run_id=run_id,
        suites=_suite_numbers(recipe),
        suite_notes=_suite_notes(recipe),
        interval=(ends.low, ends.high),
        written_tokens=of_item.get("written_tokens"),
        item_seconds=of_item.get("item_seconds"),
        on_gpus=on_gpus,
    )


def _suite_numbers(recipe: Recipe) -> dict[str, float]:
    """Numbers of the published benchmarks that the evaluation measured, by ``SUITE/NUMBER``."""
    return {
        f"{suite['suite']}/{name}": float(number["value"])
        for suite in _suites(recipe)
        for name, number in suite["numbers"].items()
    }


def _suite_notes(recipe: Recipe) -> dict[str, str]:
    notes = {}
    for suite in _suites(recipe):
        name, rows, blind = SUITES[suite["suite"]].title, suite["num_items"], suite["without_pictures"]
        missing = sum(suite["not_scored"].values())
        said = [f"{blind:,} were scored without their pictures"] if blind else []
        said += [f"{missing:,} have no rewards and are wrong"] if missing else []
        if said:
            notes[suite["suite"]] = f"Ours of {name}: of {rows:,} rows {' and '.join(said)}."
    return notes


def _suites(recipe: Recipe) -> list[dict[str, Any]]:
    """Of ``suites.json``; none where no suite was asked for."""
    if not recipe.evaluate.suites:
        return []
    found: list[dict[str, Any]] = read_json(join(recipe.evaluate.output, SUITES_FILE), dict)["suites"]
    return found


def _work(recipe: Recipe) -> tuple[int, float]:
    """(Comparisons, FLOPs) of the steps that the training took of its plan."""
    config = with_absolute_paths(recipe.train, "model", "data", "output", "cache_dir")
    data = PreparedData.open(manifest_of(recipe, config.data))
    _, plan = make_plan(config, data)
    left: int = lineage_of(join(config.output, "export")).get("steps", plan.num_steps)  # fewer where it ended early
    comparisons, flops = 0, 0.0
    for stage in plan.stages:
        taken = min(stage.plan.num_steps, left)
        left -= taken
        for start in range(0, taken, stage.plan.chunk_steps):
            steps = stage.plan.steps(start, min(start + stage.plan.chunk_steps, taken))
            comparisons += int(steps.counts[:, 0].sum())
            flops += float(steps.costs.sum())
    return comparisons, BACKWARD * flops


def _num_parameters(export: str) -> int:
    """All weights in the files of the exported model, the head's too."""
    total = 0
    for path in list_files(join(escaped(local_model(export)), "*.safetensors")):
        if os.path.basename(path) == "reward_fixture.safetensors":  # inputs and rewards, no weights
            continue
        with safe_open(path, framework="numpy") as file:
            total += sum(int(np.prod(file.get_slice(name).get_shape())) for name in file.keys())  # noqa: SIM118
    return total


def _cost(recipe: Recipe, hours: float, *, on_gpus: bool) -> float | None:
    price = recipe.plan.price
    if price is None and on_gpus:
        price = gpu_of(recipe.plan.gpu).price
    return None if price is None else hours * price
