"""What a sweep's folder holds, read back: its settings, its finished trials as points, and the others with the reason.

sweep.json               what was asked for
trials/ID/trial.json     one trial and how it stands
trials/ID/point.json     what it reached, once it has finished
trials/ID/evaluate/      its report and the rewards of every response
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import exists, join, list_folders, name_of, read_bytes
from rm_core.scaling.points import TrialPoint

__all__ = ["SweepResults", "Unfinished", "evaluation_of", "read_sweep"]

_OF_REPORT = {
    "top1_accuracy": ("overall", "top1", "value"),
    "length_only_accuracy": ("overall", "length_only", "value"),
    "mean_margin": ("overall", "mean_margin"),
    "calibration_error": ("calibration_error",),
    "image_accuracy": ("by_modality", "image", "accuracy", "value"),
    "text_accuracy": ("by_modality", "text", "accuracy", "value"),
    "blank_image_accuracy": ("blank_images", "blank", "value"),
    "reward_length_spearman": ("reward_length_spearman",),
}
"""Metric -> where ``report.json`` has it; the rest stand in the point."""


@dataclass(frozen=True, kw_only=True)
class Unfinished:
    """A trial without a point."""

    id: str
    label: str
    seed: int | None
    state: str
    """failed, stopped, running or pending; "missing" where the folder says nothing, "finished" without its point."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class SweepResults:
    """One sweep as far as it has come."""

    folder: str
    name: str
    method: str
    axes: dict[str, list[str]]
    metric: str
    mode: str
    """max or min."""
    report: str | None
    """scaling, study, or None for what fits."""
    paper_table: str | None
    points: tuple[TrialPoint, ...]
    """In the order of their labels in `axes`, then of seeds."""
    values: dict[str, float]
    """The metric of each point, by id."""
    unfinished: tuple[Unfinished, ...]


def read_sweep(folder: str) -> SweepResults:
    """Read `folder`, local or s3://.

    Raises:
        MissingInput: there is no ``sweep.json``.
        CorruptData: a file is not what it should be.
        RecipeError: `metric` is none of the evaluation report's numbers.
    """
    url = join(folder, "sweep.json")
    if not exists(url):
        raise MissingInput(f"{url!r} is not there: `basereward sweep` writes it when it begins")
    settings = _json(url)
    points, unfinished = [], []
    for trial in list_folders(join(folder, "trials")):
        found = _read_trial(trial)
        (points if isinstance(found, TrialPoint) else unfinished).append(found)
    try:
        axes = {name: [str(label) for label in labels] for name, labels in settings["axes"].items()}
        metric = settings["metric"]
        ordered = sorted(points, key=lambda one: _place(axes, one))
        return SweepResults(
            folder=folder,
            name=settings["name"],
            method=settings["method"],
            axes=axes,
            metric=metric,
            mode=settings["mode"],
            report=settings.get("report"),
            paper_table=settings.get("paper_table"),
            points=tuple(ordered),
            values={point.id: _metric(folder, point, metric) for point in ordered},
            unfinished=tuple(sorted(unfinished, key=lambda one: (one.label, one.seed or 0, one.id))),
        )
    except (KeyError, AttributeError, TypeError) as error:
        raise CorruptData(f"{url!r} is no sweep's: {type(error).__name__} {error}") from error


def evaluation_of(folder: str, point: TrialPoint) -> str:
    """The folder with the trial's ``report.json`` and ``scored.parquet``."""
    return join(folder, "trials", point.id, "evaluate")


def _read_trial(folder: str) -> "TrialPoint | Unfinished":
    name, told = name_of(folder), join(folder, "trial.json")
    if not exists(told):
        return Unfinished(id=name, label=name, seed=None, state="missing", reason="its folder has no trial.json")
    trial = _json(told)
    state, reason = str(trial.get("state", "missing")), str(trial.get("reason") or "")
    if state == "finished":
        url = join(folder, "point.json")
        if exists(url):
            try:
                return TrialPoint.from_json(_json(url))
            except (ValueError, TypeError) as error:
                raise CorruptData(f"{url!r} holds no point: {error}") from error
        reason = reason or "its folder has no point.json"
    return Unfinished(id=name, label=str(trial.get("label", name)), seed=trial.get("seed"), state=state, reason=reason)


def _place(axes: Mapping[str, list[str]], point: TrialPoint) -> tuple[object, ...]:
    where = [labels.index(point.axes[axis]) if point.axes.get(axis) in labels else -1 for axis, labels in axes.items()]
    return (*where, point.label, point.seed, point.id)


def _metric(folder: str, point: TrialPoint, name: str) -> float:
    if name in ("accuracy", "log_loss", "train_loss"):
        return float(getattr(point, name))
    if name.startswith("source/") and name.endswith("/accuracy"):
        source = name.removeprefix("source/").removesuffix("/accuracy")
        if source in point.by_source:
            return point.by_source[source]
        raise RecipeError(f"sweep.metric={name}: the trials were evaluated on {', '.join(sorted(point.by_source))}")
    if name not in _OF_REPORT:
        known = ", ".join(["accuracy", "log_loss", "train_loss", "source/NAME/accuracy", *_OF_REPORT])
        raise RecipeError(f"sweep.metric={name} is none of the numbers of an evaluation: {known}")
    value: Any = _json(join(evaluation_of(folder, point), "report.json"))
    for key in _OF_REPORT[name]:
        value = value.get(key) if isinstance(value, dict) else None
    if value is None:
        raise RecipeError(f"sweep.metric={name}: the evaluation of trial {point.id} has no such number")
    return float(value)


def _json(url: str) -> dict[str, Any]:
    try:
        value = json.loads(read_bytes(url))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CorruptData(f"{url!r} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise CorruptData(f"{url!r} holds no JSON object")
    return value
