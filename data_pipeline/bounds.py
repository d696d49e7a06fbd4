"""What a field of a config may hold: declared beside the field, and checked by one function.

    learning_rate: float = bounded(1e-5, above=0)
    layers: int = bounded(2, at_least=1, at_most=5)
    split: str = one_of("heldout", ("heldout", "train"))
    seed: int = unbounded(0)

The declaration is the metadata of an ordinary dataclass field. `check_bounds` walks a config with all that lies in it.
A number that is not finite is refused everywhere, also in a field that declares nothing.
"""

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, partial
from types import NoneType
from typing import Any, TypedDict, TypeVar, Unpack, get_args, get_type_hints

from data_pipeline.errors import RecipeError

__all__ = ["UNBOUNDED", "Bounds", "Limits", "bounded", "bounds_of", "check_bounds", "one_of", "unbounded"]

T = TypeVar("T")

_KEY = "bounds"


@dataclass(frozen=True, kw_only=True)
class Bounds:
    """What one value may be; of a list or a mapping, what each of its values may be."""

    above: float | None = None
    """The value is greater than this."""
    at_least: float | None = None
    """The value is this or greater."""
    below: float | None = None
    """The value is less than this."""
    at_most: float | None = None
    """The value is this or less."""
    choices: tuple[str, ...] | None = None
    """The value is one of these words."""
    cure: str = ""
    """What a refusal says behind the bound, for example what to do instead."""

    def __str__(self) -> str:
        """In words: ``above 0 and at most 1``, ``from 0 to 3``; empty where there is no bound."""
        if self.choices is not None:
            return f"one of {', '.join(self.choices)}"
        if self.at_least is not None and self.at_most is not None:
            return f"from {self.at_least!r} to {self.at_most!r}"
        named = (
            ("above", self.above),
            ("at least", self.at_least),
            ("below", self.below),
            ("at most", self.at_most),
        )
        return " and ".join(f"{word} {limit!r}" for word, limit in named if limit is not None)

    def refusal(self, key: str, value: object, *, optional: bool = False, whose: str = "") -> str:
        """Why `value` may not be, in one sentence with its key; empty where it may.

        Args:
            optional: None may be, and the sentence says so.
            whose: what the sentence says behind the value, such as `` of 'hh-rlhf'``.
        """
        if (optional and value is None) or not (wanted := self._wanted(value)):
            return ""
        cure = f": {self.cure}" if self.cure else ""
        return f"{key}={value!r}{whose} must be {wanted}{', or unset' if optional else ''}{cure}"

    def check(self, key: str, value: object) -> None:
        """Refuse one value.

        Raises:
            RecipeError: names the key, its value and the bound.
        """
        if refusal := self.refusal(key, value):
            raise RecipeError(refusal)

    def _wanted(self, value: object) -> str:
        """What `value` would have to be; empty where it is right."""
        if self.choices is not None:
            return "" if value in self.choices else str(self)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return ", ".join(("a number", str(self))).removesuffix(", ")
        if not math.isfinite(value):
            return ", ".join(("a finite number", str(self))).removesuffix(", ")
        holds = (
            (self.above is None or value > self.above)
            and (self.at_least is None or value >= self.at_least)
            and (self.below is None or value < self.below)
            and (self.at_most is None or value <= self.at_most)
        )
        return "" if holds else str(self)


UNBOUNDED = Bounds()
"""Every finite number is meant."""


class Limits(TypedDict, total=False):
    """The arguments of `bounded`, as `Bounds` has them."""

    above: float
    at_least: float
    below: float
    at_most: float
    cure: str


def bounded(default: T, **limits: Unpack[Limits]) -> T:
    """A field with a number, a list or a mapping of numbers; None is allowed where the annotation says so.

    Args:
        default: a list or a mapping is copied for every config.
        limits: at least one of ``above``, ``at_least``, ``below``, ``at_most``; and a ``cure`` for messages.
    """
    return _declared(default, Bounds(**limits))


def one_of(default: T, choices: Sequence[str], cure: str = "") -> T:
    """A field with a word of a closed set, or a list of such words; None is allowed where the annotation says so."""
    return _declared(default, Bounds(choices=tuple(choices), cure=cure))


def unbounded(default: T) -> T:
    """A field with a number, or a list of numbers, of which every finite one is meant."""
    return _declared(default, UNBOUNDED)


def bounds_of(kind: type) -> dict[str, Bounds | None]:
    """The fields of a config class, each with its bounds; None where the declaration says nothing of them."""
    return {one.name: one.metadata.get(_KEY) for one in fields(kind)}


def check_bounds(config: object, prefix: str = "") -> None:
    """Refuse a config with a value that its declaration does not allow.

    Dataclasses, lists and mappings inside of it are walked too.

    Args:
        config: an instance of a config dataclass.
        prefix: its key in a recipe, such as ``train.optimizer``; empty for a whole recipe.

    Raises:
        RecipeError: names every such key, with its value and the bound, in one line.
    """
    if found := list(_refusals(config, prefix, None)):
        raise RecipeError("; ".join(found))


def _declared(default: T, bounds: Bounds) -> T:
    metadata = {_KEY: bounds}
    if isinstance(default, list | dict):
        return field(default_factory=partial(copy.copy, default), metadata=metadata)
    return field(default=default, metadata=metadata)


def _refusals(value: Any, key: str, bounds: Bounds | None, optional: bool = False, whose: str = "") -> Iterator[str]:
    if is_dataclass(value) and not isinstance(value, type):
        may_be_none = _optional_fields(type(value))
        for name, own in bounds_of(type(value)).items():
            inner = f"{key}.{name}" if key else name
            yield from _refusals(getattr(value, name), inner, own, name in may_be_none, whose)
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from _refusals(item, f"{key}.{name}", bounds, whose=whose)
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _refusals(item, f"{key}.{index}", bounds, whose=_owner(item) or whose)
    elif bounds is None and not isinstance(value, float):
        return
    elif refusal := (bounds or UNBOUNDED).refusal(key, value, optional=optional, whose=whose):
        yield refusal


def _owner(item: object) -> str:
    """An item of a list is found faster by its name than by its place."""
    name = getattr(item, "name", "")
    return f" of {name!r}" if is_dataclass(item) and name else ""


@cache
def _optional_fields(kind: type) -> frozenset[str]:
    return frozenset(name for name, hint in get_type_hints(kind).items() if NoneType in get_args(hint))
