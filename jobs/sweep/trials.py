"""The trials of a sweep: which there are, what each is called, and what it changes. Pure."""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.errors import RecipeError
from jobs.recipe.sweep_config import SweepConfig
from jobs.sweep.axes import Axis, Choices, Option, Range, axes_of, bundle_of, check_name, label_of

__all__ = ["TrialSpec", "axis_labels", "expand", "fits", "picks_of", "spec_of_picks"]


@dataclass(frozen=True, kw_only=True)
class TrialSpec:
    """One training of a sweep, before anything has run."""

    label: str
    """The point for people, such as ``7b``; the same for all of its seeds."""
    axes: Mapping[str, str]
    """Axis -> label on it."""
    overrides: Mapping[str, Any]
    """Config key -> value."""
    seed: int
    """``train.seed``."""

    @property
    def id(self) -> str:
        """12 hexadecimal digits of overrides and seed: the same whatever else the sweep holds.

        >>> TrialSpec(label="2", axes={}, overrides={"train.head.layers": 2}, seed=0).id
        'ccc5596d54ea'
        """
        value = {"overrides": self.overrides, "seed": self.seed}
        text = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def name(self) -> str:
        """The trial for people, with its seed."""
        return f"{self.label}, seed {self.seed}"

    @property
    def settings(self) -> dict[str, Any]:
        """All that the trial sets in the recipe."""
        return {**self.overrides, "train.seed": self.seed}

    def to_json(self) -> dict[str, Any]:
        """The fields and the id, ready for `json.dumps`."""
        return {"id": self.id, **asdict(self)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TrialSpec":
        """What `to_json` returned; what stands beside it is left out."""
        return cls(**{key: value[key] for key in ("label", "axes", "overrides", "seed")})


def expand(config: SweepConfig) -> list[TrialSpec]:
    """The trials of a grid or a list: points in the order of the recipe, the seeds of a point together.

    Raises:
        RecipeError: an axis or point is wrong, two axes set the same key, or two points are the same.
    """
    if config.method == "list":
        for name in config.points:
            check_name("sweep.points", str(name))
        points = [
            Option(label=str(name), bundle=bundle_of(f"sweep.points.{name}", value))
            for name, value in config.points.items()
        ]
        specs = [(point.label, {"point": point.label}, dict(point.bundle)) for point in points]
    else:
        specs = [_point(combination) for combination in _combinations(axes_of(config.parameters, search=False))]
    trials = [
        TrialSpec(label=label, axes=axes, overrides=overrides, seed=seed)
        for label, axes, overrides in specs
        for seed in config.seeds
    ]
    _check_different(trials)
    return trials


def spec_of_picks(axes: Mapping[str, Axis], picks: Mapping[str, Any], seed: int) -> TrialSpec:
    """The trial of what a search picked: a number of a `Range`, a label of `Choices`."""
    chosen = {name: _picked(name, axis, picks[name]) for name, axis in axes.items()}
    label, labels, overrides = _point(chosen)
    return TrialSpec(label=label, axes=labels, overrides=overrides, seed=seed)


def picks_of(axes: Mapping[str, Axis], spec: TrialSpec) -> dict[str, Any]:
    """What a search would have picked for `spec`; the way back of `spec_of_picks`."""
    return {name: spec.overrides[name] if isinstance(axis, Range) else spec.axes[name] for name, axis in axes.items()}


def fits(axes: Mapping[str, Axis], spec: TrialSpec) -> bool:
    """Whether a search over `axes` could have picked `spec`: its recipe may have changed since."""
    if axes.keys() != spec.axes.keys():
        return False
    for name, axis in axes.items():
        if isinstance(axis, Range):
            value = spec.overrides.get(name)
            if not isinstance(value, int | float) or not axis.low <= value <= axis.high:
                return False
        elif all(option.label != spec.axes[name] for option in axis.options):
            return False
    return spec_of_picks(axes, picks_of(axes, spec), spec.seed).id == spec.id


def axis_labels(trials: Iterable[TrialSpec]) -> dict[str, list[str]]:
    """Axis -> its labels, each once, in the order of the trials."""
    labels: dict[str, dict[str, None]] = {}
    for trial in trials:
        for axis, label in trial.axes.items():
            labels.setdefault(axis, {})[label] = None
    return {axis: list(found) for axis, found in labels.items()}


def _combinations(axes: Mapping[str, Axis]) -> list[dict[str, Option]]:
    options: list[Sequence[Option]] = [axis.options for axis in axes.values() if isinstance(axis, Choices)]
    return [dict(zip(axes, chosen, strict=True)) for chosen in itertools.product(*options)]


def _point(chosen: Mapping[str, Option]) -> tuple[str, dict[str, str], dict[str, Any]]:
    """(label, axes, overrides) of one option on each axis."""
    overrides: dict[str, Any] = {}
    for axis, option in chosen.items():
        if both := overrides.keys() & option.bundle.keys():
            raise RecipeError(
                f"sweep.parameters.{axis} sets {min(both)}, which another axis sets too: a key belongs to one axis"
            )
        overrides |= option.bundle
    return ", ".join(_named(*one) for one in chosen.items()), {a: o.label for a, o in chosen.items()}, overrides


def _named(axis: str, option: Option) -> str:
    """``7b`` of an axis with labels of its own, ``layers=2`` of a config key."""
    return option.label if "." not in axis else f"{axis.rpartition('.')[2]}={option.label}"


def _picked(name: str, axis: Axis, pick: Any) -> Option:
    if isinstance(axis, Range):
        value = int(pick) if axis.kind == "int" else float(pick)
        return Option(label=label_of(value), bundle={name: value})
    return next(option for option in axis.options if option.label == pick)


def _check_different(trials: Sequence[TrialSpec]) -> None:
    seen: dict[str, TrialSpec] = {}
    for trial in trials:
        if other := seen.get(trial.id):
            raise RecipeError(f"trials {other.label!r} and {trial.label!r} set the same: remove one of them")
        seen[trial.id] = trial
