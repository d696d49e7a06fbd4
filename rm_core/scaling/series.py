"""Finished trials of a sweep as points; points that differ only in what moves along a line belong on one line."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

__all__ = ["MEASURES", "Measure", "Series", "TrialPoint", "by_label", "series_of", "varies"]


@dataclass(frozen=True, kw_only=True)
class TrialPoint:
    """What ``trials/ID/point.json`` holds."""

    id: str
    """12 hexadecimal digits: of the trial's overrides and seed."""
    label: str
    """The point of the sweep for people, such as ``7b``; the same for all of its seeds."""
    axes: dict[str, str]
    """The label of the trial on each axis."""
    overrides: dict[str, Any]
    """Config key -> value."""
    seed: int
    num_parameters: int
    """All weights of the model, the head's too."""
    num_comparisons: int
    """Comparisons trained on, over all epochs."""
    compute_flops: float
    """FLOPs of the training's packed rows: three times those of the forward passes."""
    gpu_hours: float
    """Workers times hours of training; of CPUs where no GPU was used."""
    cost: float | None
    """Dollars; None where no price is known, as on CPUs."""
    accuracy: float
    """Share of the ordered held-out pairs that are ranked right."""
    log_loss: float
    """Mean over ordered held-out pairs of -log sigmoid(margin)."""
    train_loss: float
    """The last that was logged."""
    by_source: dict[str, float]
    """Accuracy by the source's name."""
    mlflow_run_id: str
    suites: dict[str, float] = field(default_factory=dict)
    """Numbers of published benchmarks, by ``SUITE/NUMBER``."""
    suite_notes: dict[str, str] = field(default_factory=dict)
    """By suite: what was not measured as its authors do, in a sentence; nothing where all was."""
    interval: tuple[float, float] | None = None
    """Of the accuracy, over groups of held-out Comparisons."""
    written_tokens: float | None = None
    """For the rewards of a held-out Comparison; None, of it and of all that follow: an earlier version did not say."""
    item_seconds: float | None = None
    """Of one process, that writing and scoring took for a held-out Comparison."""
    on_gpus: bool | None = None
    """Whether hours and seconds are those of GPUs; False: of CPUs."""

    def to_json(self) -> dict[str, Any]:
        """The point as dicts, lists and numbers, ready for `json.dumps`."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """What `to_json` returned.

        Raises:
            ValueError: a field is missing, or one is not known.
        """
        known = {one.name for one in fields(cls)}
        if wrong := (known ^ value.keys()) - _LATER:
            raise ValueError(f"not the fields of a point: {', '.join(sorted(wrong))} missing or unknown")
        ends = value.get("interval")
        return cls(**{**value, "interval": None if ends is None else tuple(ends)})


_LATER = frozenset(("suites", "suite_notes", "interval", "written_tokens", "item_seconds", "on_gpus"))
"""Fields that points of an earlier version lack."""
MOVES = 1.1
"""An axis moves a measure where it changes it by more than this factor."""
SPAN = 1.5
"""A measure is worth an axis of a plot where its largest value is this much the smallest."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """What quality is drawn against."""

    name: str
    """"parameters", "data" or "compute"."""
    field: str
    """Its field of `TrialPoint`."""
    unit: str
    """What is counted, for people."""

    def of(self, point: TrialPoint) -> float:
        return float(getattr(point, self.field))


MEASURES = (
    Measure(name="parameters", field="num_parameters", unit="parameters"),
    Measure(name="data", field="num_comparisons", unit="Comparisons trained on"),
    Measure(name="compute", field="compute_flops", unit="training FLOPs"),
)


@dataclass(frozen=True, kw_only=True)
class Series:
    """Points on one line, by label; seeds of a label share one x."""

    name: str
    """What all of them have in common, such as ``silu``; empty where there is one series."""
    points: tuple[TrialPoint, ...]
    xs: tuple[float, ...]
    """Of each point: the geometric mean of the measure over the seeds of its label."""


def by_label(points: Sequence[TrialPoint]) -> dict[str, list[TrialPoint]]:
    """Points by label, both in the order of labels and seeds."""
    found: dict[str, list[TrialPoint]] = defaultdict(list)
    for point in sorted(points, key=lambda one: (one.label, one.seed, one.id)):
        found[point.label].append(point)
    return dict(found)


def varies(points: Sequence[TrialPoint], measure: Measure) -> bool:
    """Whether the points differ enough in `measure` to draw anything against it."""
    values = [measure.of(point) for point in points]
    return bool(values) and min(values) > 0 and max(values) >= SPAN * min(values)


def series_of(points: Sequence[TrialPoint], measure: Measure) -> list[Series]:
    """The lines of a plot against `measure`: points that are alike on all axes that do not move it.

    A sweep over sizes and heads gives a line for each head. Where no two points would stand on one line, as in a
    search, all of them stand on one.
    """
    moving = {axis for axis in _axes(points) if _moves(points, axis, measure)}
    lines: dict[tuple[str, ...], list[TrialPoint]] = defaultdict(list)
    for point in points:
        lines[tuple(label for axis, label in sorted(point.axes.items()) if axis not in moving)].append(point)
    if all(len({point.label for point in line}) < 2 for line in lines.values()):
        lines = defaultdict(list, {(): list(points)})
    named = len(lines) > 1
    return [_series(", ".join(key) if named else "", lines[key], measure) for key in sorted(lines)]


def _series(name: str, points: Sequence[TrialPoint], measure: Measure) -> Series:
    ordered = sorted(points, key=lambda one: (measure.of(one), one.label, one.seed, one.id))
    xs = {label: _mean([measure.of(one) for one in group]) for label, group in by_label(ordered).items()}
    ordered.sort(key=lambda one: (xs[one.label], one.label, one.seed, one.id))
    return Series(name=name, points=tuple(ordered), xs=tuple(xs[one.label] for one in ordered))


def _mean(values: Sequence[float]) -> float:
    """The geometric mean; the value itself where all are equal."""
    if min(values) == max(values):
        return values[0]
    return math.exp(math.fsum(math.log(value) for value in values) / len(values))


def _axes(points: Sequence[TrialPoint]) -> list[str]:
    return sorted({axis for point in points for axis in point.axes})


def _moves(points: Sequence[TrialPoint], axis: str, measure: Measure) -> bool:
    """Whether points that differ on `axis` alone differ in `measure`."""
    alike: dict[tuple[tuple[str, str], ...], list[float]] = defaultdict(list)
    for point in points:
        rest = tuple(sorted((name, label) for name, label in point.axes.items() if name != axis))
        alike[rest].append(measure.of(point))
    return any(max(values) > MOVES * min(values) for values in alike.values())
