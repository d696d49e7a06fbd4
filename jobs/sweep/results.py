"""What a sweep's folder holds, read back: its settings, its finished trials as points, and the others with the reason.

sweep.json               what was asked for
trials/ID/trial.json     one trial and how it stands
trials/ID/point.json     what it reached, once it has finished
trials/ID/evaluate/      its report and the rewards of every response
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import exists, join, list_folders, name_of, read_json
from rm_core.scaling.series import TrialPoint

__all__ = ["SweepResults", "Unfinished", "evaluation_of", "read_sweep"]


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
    settings = read_json(url, dict)
    trials = [_read_trial(trial) for trial in list_folders(join(folder, "trials"))]
    unfinished = [trial for trial in trials if isinstance(trial, Unfinished)]
    try:
        axes = {name: [str(label) for label in labels] for name, labels in settings["axes"].items()}
        metric = settings["metric"]
        points = [trial for trial in trials if isinstance(trial, TrialPoint)]
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


def _read_trial(folder: str) -> TrialPoint | Unfinished:
    point_file, trial_file = join(folder, "point.json"), join(folder, "trial.json")
    if exists(point_file):
        try:
            return TrialPoint.from_json(read_json(point_file, dict))
        except (ValueError, TypeError) as error:
            raise CorruptData(f"{point_file!r} holds no point: {error}") from error
    name = name_of(folder)
    if not exists(trial_file):
        return Unfinished(id=name, label=name, seed=None, state="missing", reason="its folder has no trial.json")
    trial = read_json(trial_file, dict)
    state, reason = str(trial.get("state", "missing")), str(trial.get("reason") or "")
    if state == "finished":
        reason = reason or "its folder has no point.json"
    label = str(trial.get("label", name))
    return Unfinished(id=name, label=label, seed=trial.get("seed"), state=state, reason=reason)


def _place(axes: Mapping[str, list[str]], point: TrialPoint) -> tuple[object, ...]:
    where = [labels.index(point.axes[axis]) if point.axes.get(axis) in labels else -1 for axis, labels in axes.items()]
    return (*where, point.label, point.seed, point.id)


def _metric(folder: str, point: TrialPoint, name: str) -> float:
    url = join(folder, "trials", point.id, "numbers.json")
    numbers: dict[str, Any] = {
        **{f"source/{source}/accuracy": value for source, value in point.by_source.items()},
        **{f"suite/{name}": value for name, value in point.suites.items()},
        **{key: getattr(point, key) for key in ("accuracy", "log_loss", "train_loss")},
        **(read_json(url, dict) if exists(url) else {}),
    }
    if name not in numbers:
        known = ", ".join(sorted(numbers))
        raise RecipeError(f"sweep.metric={name} is none of the numbers of trial {point.id}: choose one of {known}")
    return float(numbers[name])
