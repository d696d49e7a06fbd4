"""The paper's studies: recipes of sweeps whose every point is a recipe that loads, and a row of the paper's table."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from jobs.paper_table import load_table
from jobs.recipe_file import load_recipe
from jobs.sweep_config import SweepConfig, check_sweep_config

STUDIES = ("backbone", "head", "regularisers", "data_sets", "text_ratios", "learning_rate")


def bundles(config: SweepConfig) -> dict[str, dict[str, Any]]:
    """Label -> settings of each point; the studies have one axis."""
    if config.method == "list":
        return config.points
    ((axis, values),) = config.parameters.items()
    if isinstance(values, Mapping):
        return {str(label): dict(bundle) for label, bundle in values.items()}
    return {f"{value:g}": {axis: value} for value in values}


def points(study: str) -> dict[str, dict[str, Any]]:
    return bundles(load_recipe(f"paper/{study}").sweep)


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_is_a_sweep_and_each_point_is_a_row_of_the_papers_table(study: str) -> None:
    config = load_recipe(f"paper/{study}").sweep
    check_sweep_config(config)
    assert config.paper_table is not None
    table = load_table(config.paper_table)
    rows = {row.trial for row in table.rows if row.trial is not None}
    assert rows == set(points(study))


@pytest.mark.parametrize(("study", "label"), [(study, label) for study in STUDIES for label in points(study)])
def test_every_point_is_a_recipe(study: str, label: str) -> None:
    settings = points(study)[label]
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    recipe = load_recipe(f"paper/{study}", ["data_root=data", "train.model=model", *overrides])
    for key, value in settings.items():
        found: Any = recipe
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value


@pytest.mark.parametrize("label", points("data_sets"))
def test_a_data_set_is_the_recipe_of_its_name(label: str) -> None:
    only = load_recipe(f"paper/data/{label}").preprocess.mixture.only
    assert points("data_sets")[label] == {"preprocess.mixture.only": only}


@pytest.mark.parametrize("label", points("text_ratios"))
def test_a_text_ratio_is_the_recipe_of_its_name(label: str) -> None:
    ratio = load_recipe(f"paper/text_ratio/{label}").preprocess.mixture.text_ratio
    assert points("text_ratios")[label] == {"preprocess.mixture.text_ratio": ratio}


def test_points_that_differ_in_data_are_measured_on_the_mixture() -> None:
    for study in ("data_sets", "text_ratios"):
        recipe = load_recipe(f"paper/{study}")
        assert recipe.evaluate.data == load_recipe("paper/mixture").preprocess.output == recipe.preprocess.output


def test_what_the_paper_went_on_with_is_the_mixtures_own_setting() -> None:
    mixture = load_recipe("paper/mixture").train
    assert points("head")["2, silu"] == {
        "train.head.layers": mixture.head.layers,
        "train.head.activation": mixture.head.activation,
    }
    assert mixture.optimizer.learning_rate in [
        one["train.optimizer.learning_rate"] for one in points("learning_rate").values()
    ]
    chosen = {
        study: [
            row.trial for row in load_table(load_recipe(f"paper/{study}").sweep.paper_table or "").rows if row.chosen
        ]
        for study in ("head", "learning_rate", "regularisers")
    }
    assert chosen == {"head": ["2, silu"], "learning_rate": ["3e-06"], "regularisers": ["0"]}
