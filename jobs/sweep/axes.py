"""The axes of a sweep: what the recipe says of them, as options with labels or as ranges to search. Pure."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import yaml

from data_pipeline.errors import RecipeError

__all__ = ["Axis", "Choices", "Option", "Range", "axes_of", "bundle_of", "check_name", "label_of"]

_RANGES = ("uniform", "loguniform", "int")
_DISTRIBUTIONS = (*_RANGES, "choice")
_EXAMPLE = "train.optimizer.learning_rate: loguniform(1e-6, 1e-4)"
_TEXT = re.compile(r"\s*(\w+)\s*\((.*)\)\s*", re.DOTALL)
_NAME = re.compile(r"[A-Za-z0-9_ .:/-]+")  # what MLflow takes for a tag
_OF_THE_SWEEP = (
    "cluster",
    "name",
    "run_dir",
    "sweep",
    "tracking",
    "train.output",
    "evaluate.output",
    "train.cache_dir",
)


@dataclass(frozen=True, kw_only=True)
class Option:
    """One value of an axis."""

    label: str
    bundle: Mapping[str, Any]
    """Config key -> value."""


@dataclass(frozen=True, kw_only=True)
class Choices:
    """An axis of single values."""

    options: tuple[Option, ...]


@dataclass(frozen=True, kw_only=True)
class Range:
    """An axis to search: numbers from `low` to `high`."""

    kind: str
    """uniform, loguniform or int."""
    low: float
    high: float


Axis = Choices | Range


def axes_of(parameters: Mapping[str, Any], *, search: bool) -> dict[str, Axis]:
    """Read `sweep.parameters`.

    >>> axes_of({"train.head.layers": [1, 2]}, search=False)["train.head.layers"].options[1]
    Option(label='2', bundle={'train.head.layers': 2})
    >>> axes_of({"train.optimizer.learning_rate": "loguniform(1e-6, 1e-4)"}, search=True)
    {'train.optimizer.learning_rate': Range(kind='loguniform', low=1e-06, high=0.0001)}

    Args:
        search: whether a text may stand for a distribution.

    Raises:
        RecipeError: an axis without values, or one that is neither a list, nor bundles, nor a distribution.
    """
    for name in parameters:
        check_name("sweep.parameters", name)
    return {name: _axis(f"sweep.parameters.{name}", name, value, search=search) for name, value in parameters.items()}


def bundle_of(where: str, value: Any) -> dict[str, Any]:
    """The settings of a bundle by their full keys, whether written flat or nested.

    Raises:
        RecipeError: it is no bundle, is empty, or sets what belongs to the sweep itself.
    """
    if not isinstance(value, Mapping) or not value:
        raise RecipeError(f"{where} is {value!r}, but has to be a bundle of settings, such as {{train.head.layers: 2}}")
    flat: dict[str, Any] = {}
    _flatten(value, "", flat)
    for key in flat:
        _check_key(where, key)
    return flat


def check_name(where: str, name: str) -> None:
    """Refuse a name of an axis, or a label of a bundle, that MLflow would not take for a parameter's or a tag's.

    Raises:
        RecipeError: names it.
    """
    if not _NAME.fullmatch(name):
        raise RecipeError(f"{where}: {name!r} can't be a name: use letters, digits, spaces and . _ - : /")


def label_of(value: Any) -> str:
    """A value for people, and for the name of a trial.

    >>> [label_of(value) for value in (None, True, 1e-05, "silu", [{"name": "a"}])]
    ['none', 'true', '1e-05', 'silu', '[{"name": "a"}]']
    """
    if value is None or isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)


def _axis(where: str, name: str, value: Any, *, search: bool) -> Axis:
    if isinstance(value, Mapping) and value:
        kept = {str(label): one for label, one in value.items() if one is not None}
        if not kept:
            raise RecipeError(
                f"{where}: all of its labels ({', '.join(map(str, value))}) are null, which leaves them out"
            )
        for label in kept:
            check_name(where, label)
        return Choices(
            options=tuple(Option(label=label, bundle=bundle_of(f"{where}.{label}", one)) for label, one in kept.items())
        )
    if isinstance(value, list):
        return _choices(where, name, value)
    if isinstance(value, str) and search:
        return _distribution(where, name, value)
    wanted = "a list of values, or labels with bundles" + (f", or a distribution such as {_EXAMPLE}" if search else "")
    hint = "; a distribution needs sweep.method=search" if isinstance(value, str) and _TEXT.fullmatch(value) else ""
    raise RecipeError(f"{where} is {value!r}, but has to be {wanted}{hint}")


def _choices(where: str, name: str, values: Sequence[Any]) -> Choices:
    if not values:
        raise RecipeError(f"{where} is empty: an axis needs values")
    _check_key(where, name)
    labels = [label_of(value) for value in values]
    if twice := next((label for label in labels if labels.count(label) > 1), None):
        raise RecipeError(f"{where} has {twice} twice: each value makes trials of its own")
    return Choices(
        options=tuple(
            Option(label=label, bundle=_bundle_of_value(name, value))
            for label, value in zip(labels, values, strict=True)
        )
    )


def _bundle_of_value(name: str, value: Any) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    _flatten({name: value}, "", flat)
    return flat


def _distribution(where: str, name: str, text: str) -> Axis:
    found = _TEXT.fullmatch(text)
    if found is None:
        raise RecipeError(f"{where} is {text!r}, but has to be a distribution, such as {_EXAMPLE}")
    kind, inside = found.groups()
    if kind not in _DISTRIBUTIONS:
        near = get_close_matches(kind, _DISTRIBUTIONS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(_DISTRIBUTIONS)}"
        raise RecipeError(f"{where}: no distribution is called {kind!r}: {hint}")
    values = _values(where, text, inside)
    if kind == "choice":
        return _choices(where, name, values)
    _check_key(where, name)
    return _range(where, text, kind, values)


def _values(where: str, text: str, inside: str) -> list[Any]:
    try:
        values = yaml.safe_load(f"[{inside}]")
    except yaml.YAMLError as error:
        raise RecipeError(f"{where} is {text!r}: what is in the brackets has to be values with commas") from error
    return [_number(value) for value in values]


def _number(value: Any) -> Any:
    """YAML 1.1 takes 1e-6 for a text."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _range(where: str, text: str, kind: str, values: Sequence[Any]) -> Range:
    numbers = all(isinstance(value, int | float) and math.isfinite(value) for value in values)
    if len(values) != 2 or not numbers or not values[0] < values[1]:
        raise RecipeError(f"{where} is {text!r}, but has to be {kind}(LOW, HIGH), two numbers, the lower one first")
    low, high = values
    if kind == "loguniform" and low <= 0:
        raise RecipeError(f"{where} is {text!r}: the lower end of loguniform has to be above 0")
    if kind == "int" and not all(float(value).is_integer() for value in values):
        raise RecipeError(f"{where} is {text!r}: the ends of int have to be whole numbers")
    return Range(kind=kind, low=float(low), high=float(high))


def _check_key(where: str, key: str) -> None:
    if key == "train.seed":
        raise RecipeError(f"{where} sets train.seed: set sweep.seeds, which trains every point once for each of them")
    for taken in _OF_THE_SWEEP:
        if key == taken or key.startswith(f"{taken}."):
            raise RecipeError(f"{where} sets {key}, which is one for all trials: set it in the recipe itself")
    if "." not in key:
        raise RecipeError(
            f"{where}: {key!r} is no config key: write its full name, such as train.head.layers, or give it labels "
            f"with bundles, such as {key}: {{small: {{init_model.shape: tiny}}}}"
        )


def _flatten(value: Mapping[Any, Any], prefix: str, flat: dict[str, Any]) -> None:
    for name, item in value.items():
        key = f"{prefix}{name}"
        if isinstance(item, Mapping) and item:
            _flatten(item, f"{key}.", flat)
        else:
            flat[key] = item
