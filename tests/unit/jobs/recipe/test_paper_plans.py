"""The paper's recipes and studies before anything is prepared: points fit with a margin, each with its own size."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from typing import Any

import pytest

from jobs.plan import Planned, planned_of
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.sweep.planned import planned_trial
from rm_core.planner.assumed import assumed_counts

LARGEST = {
    "paper/backbone": ("qwen2_5_vl_32b", "internvl3_8b"),
    "paper/head": ("5 silu",),
    "paper/paradigms": ("critic", "generative"),
    "paper/staged_lora": ("",),
}
"""Points that need most memory; the others are a size or a head smaller, or differ in their data alone."""


@cache
def base(name: str) -> Recipe:
    return load_recipe(name)


def points(name: str) -> dict[str, dict[str, Any]]:
    sweep = base(name).sweep
    if sweep.method == "list":
        return sweep.points
    ((_, values),) = sweep.parameters.items()
    assert isinstance(values, Mapping)
    return {str(label): dict(bundle) for label, bundle in values.items()}


def point(name: str, label: str) -> Recipe:
    """As loading with the bundle's settings gives it, without reading the files again."""
    recipe = deepcopy(base(name))
    for key, value in points(name)[label].items() if label else ():
        *sections, last = key.split(".")
        section: Any = recipe
        for part in sections:
            section = getattr(section, part)
        assert hasattr(section, last), key
        setattr(section, last, value)
    return recipe


def size_of(recipe: Recipe) -> tuple[int, int]:
    counts = assumed_counts(recipe.plan, recipe.preprocess)
    return round(counts.pictured), round(counts.text)


def test_every_source_of_the_paper_has_a_size() -> None:
    recipe = base("paper/mixture")
    assert set(recipe.plan.sizes) == {source.name for source in recipe.preprocess.sources}
    assert sum(size_of(recipe)) == pytest.approx(2.85e6, rel=0.005)


def test_points_are_as_large_as_their_data() -> None:
    sets = {label: sum(size_of(point("paper/data_sets", label))) for label in points("paper/data_sets")}
    assert (sets["mmif"], sets["mmpr"], sets["olmo_2"]) == (21_956, 2_000_000, 377_244)
    assert sets["r1_reward"] == pytest.approx(200_000, rel=0.03)
    ratios = {label: size_of(point("paper/text_ratios", label)) for label in points("paper/text_ratios")}
    pictured = ratios["none"][0]
    assert {one[0] for one in ratios.values()} == {pictured}
    assert [one[1] / pictured for one in ratios.values()] == pytest.approx([0, 0.25, 0.5, 1], abs=1e-6)


def test_the_hours_of_a_point_are_those_of_its_data() -> None:
    small, large = (planned_trial(point("paper/data_sets", label)) for label in ("mmif", "mmpr"))
    assert (small.comparisons, large.comparisons) == (21_956, 2_000_000)
    assert small.hours is not None and large.hours is not None and large.cost is not None
    assert large.hours > 40 * small.hours, "start and export are the same for both"
    assert large.cost == pytest.approx(large.hours * 8 * 6.9)


@pytest.mark.parametrize(("name", "label"), [(name, label) for name, labels in LARGEST.items() for label in labels])
def test_the_largest_points_fit_with_their_margin(name: str, label: str) -> None:
    recipe = point(name, label)
    recipe.plan.shape = recipe.plan.shape or "7b"
    found: Planned = planned_of(recipe)
    assert found.gpu.margin == 0.06
    assert not found.memory.lacking(found.gpu)
