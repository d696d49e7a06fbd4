"""Bounds of fields: what a declaration says, what it lets pass, and what the refusal says."""

import math
from dataclasses import dataclass, field

import pytest

from data_pipeline.bounds import UNBOUNDED, Bounds, bounded, bounds_of, check_bounds, one_of, unbounded
from data_pipeline.errors import RecipeError


@dataclass(kw_only=True)
class Item:
    name: str = ""
    share: float = bounded(1.0, above=0)
    kinds: list[str] = one_of([], ("a", "b"))


@dataclass(kw_only=True)
class Config:
    rate: float = bounded(0.5, at_least=0, below=1)
    layers: int = bounded(2, at_least=1, at_most=5, cure="five are enough")
    width: int | None = bounded(None, at_least=1)
    split: str | None = one_of(None, ("train", "heldout"))
    seed: int = unbounded(0)
    steps: list[int] = bounded([1], at_least=1)
    resources: dict[str, float] = bounded({}, at_least=0)
    items: list[Item] = field(default_factory=list)
    nothing_said: float = 1.0
    text: str = ""


def refusal(**values: object) -> str:
    with pytest.raises(RecipeError) as caught:
        check_bounds(Config(**values), "train")  # type: ignore[arg-type]
    return str(caught.value)


@pytest.mark.parametrize(
    ("bounds", "words"),
    [
        (UNBOUNDED, ""),
        (Bounds(above=0), "above 0"),
        (Bounds(above=0, at_most=1), "above 0 and at most 1"),
        (Bounds(at_least=0, at_most=3), "from 0 to 3"),
        (Bounds(at_least=0, below=1), "at least 0 and below 1"),
        (Bounds(choices=("a", "b")), "one of a, b"),
    ],
)
def test_bounds_in_words(bounds: Bounds, words: str) -> None:
    assert str(bounds) == words


def test_what_is_within_passes() -> None:
    check_bounds(Config())
    items = [Item(share=0.1, kinds=["a", "b"])]
    check_bounds(Config(rate=0, layers=5, width=1, split="train", seed=-7, resources={"x": 0.5}, items=items), "train")


def test_each_refusal_has_key_value_bound_and_cure() -> None:
    assert refusal(rate=1.0) == "train.rate=1.0 must be at least 0 and below 1"
    assert refusal(layers=6) == "train.layers=6 must be from 1 to 5: five are enough"
    assert refusal(width=0) == "train.width=0 must be at least 1, or unset"
    assert refusal(split="test") == "train.split='test' must be one of train, heldout, or unset"
    assert refusal(steps=[1, 0]) == "train.steps.1=0 must be at least 1"
    assert refusal(resources={"gpu": -1.0}) == "train.resources.gpu=-1.0 must be at least 0"
    assert refusal(items=[Item(), Item(name="b", share=0)]) == "train.items.1.share=0 of 'b' must be above 0"
    assert refusal(items=[Item(name="b", kinds=["c"])]) == "train.items.0.kinds.0='c' of 'b' must be one of a, b"
    assert refusal(rate="high") == "train.rate='high' must be a number, at least 0 and below 1"
    assert refusal(rate=True) == "train.rate=True must be a number, at least 0 and below 1"


def test_all_refusals_come_at_once() -> None:
    assert refusal(rate=-1, width=0) == (
        "train.rate=-1 must be at least 0 and below 1; train.width=0 must be at least 1, or unset"
    )


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_everywhere(value: float) -> None:
    assert refusal(seed=value) == f"train.seed={value!r} must be a finite number"
    assert refusal(nothing_said=value) == f"train.nothing_said={value!r} must be a finite number"
    assert refusal(rate=value) == f"train.rate={value!r} must be a finite number, at least 0 and below 1"


def test_none_is_refused_where_the_annotation_has_none() -> None:
    assert refusal(rate=None) == "train.rate=None must be a number, at least 0 and below 1"
    assert refusal(seed=None) == "train.seed=None must be a number"


def test_a_list_is_each_configs_own() -> None:
    first, second = Config(), Config()
    first.steps.append(0)
    first.resources["x"] = 1.0
    assert (second.steps, second.resources) == ([1], {})


def test_what_a_field_declares_can_be_read() -> None:
    declared = bounds_of(Config)
    assert declared["rate"] == Bounds(at_least=0, below=1)
    assert (declared["seed"], declared["text"]) == (UNBOUNDED, None)
