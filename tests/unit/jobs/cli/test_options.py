"""Options with numbers: each says what it may be, and is held to it."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import pytest

from data_pipeline.bounds import UNBOUNDED
from data_pipeline.errors import RecipeError
from data_pipeline.inspection.samples import MAX_SAMPLES
from jobs.cli import commands
from jobs.cli.command import Option


def options_in(node: Any) -> Iterator[tuple[str, Option]]:
    """Name and option, of all commands in a table of commands."""
    if isinstance(node, Mapping):
        for name, value in node.items():
            yield from [(name, value)] if isinstance(value, Option) else options_in(value)
    elif is_dataclass(node):
        for one in fields(node):
            yield from options_in(getattr(node, one.name))


TABLES = {name: value for name, value in vars(commands).items() if name.isupper()}
NUMBERS = {name: option for name, option in options_in(TABLES) if isinstance(option.default, int)}


def test_the_walk_finds_the_options() -> None:
    assert {"samples", "items", "confidence", "idle_minutes", "nodes", "gpus"} <= set(NUMBERS)


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_bounds_that_its_default_keeps(name: str) -> None:
    option = NUMBERS[name]
    assert option.bounds != UNBOUNDED, f"{name} has no bounds"
    assert option.read(name, str(option.default)) == option.default


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_out_of_bounds_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match=f"^{name}=-1 must be "):
        NUMBERS[name].read(name, "-1")
    with pytest.raises(RecipeError, match=f"^{name}=nan must be a whole number"):
        NUMBERS[name].read(name, "nan")


@pytest.mark.parametrize(("name", "text", "bound"), [("confidence", "100", "below 100"), ("samples", "201", "to 200")])
def test_a_number_above_its_bound_is_refused(name: str, text: str, bound: str) -> None:
    with pytest.raises(RecipeError, match=f"^{name}={text} must be .*{bound}"):
        NUMBERS[name].read(name, text)


def test_as_many_samples_as_a_page_shows() -> None:
    assert NUMBERS["samples"].bounds.at_most == MAX_SAMPLES
