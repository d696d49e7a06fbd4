"""The paper's studies: recipes of sweeps whose every point is a recipe that loads, and a row of the paper's table."""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from jobs.pages.paper_table import load_table
from jobs.recipe.load import load_recipe
from jobs.recipe.sweep_config import SweepConfig, check_sweep_config

ROOT = Path(__file__).parents[4]
PAGE = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
STUDIES = ("backbone", "head", "regularisers", "data_sets", "text_ratios", "learning_rate", "paradigms")


def bundles(config: SweepConfig) -> dict[str, dict[str, Any]]:
    """Label -> settings of each point; the studies have one axis."""
    if config.method == "list":
        return config.points
    ((axis, values),) = config.parameters.items()
    if isinstance(values, Mapping):
        return {str(label): dict(bundle) for label, bundle in values.items()}
    return {f"{value:g}": {axis: value} for value in values}


@cache
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


@pytest.mark.parametrize("study", STUDIES)
def test_every_setting_of_a_point_is_a_key_of_the_recipe(study: str) -> None:
    settings = {key: value for bundle in points(study).values() for key, value in bundle.items()}
    overrides = [f"{key}={json.dumps(value)}" for key, value in settings.items()]
    recipe = load_recipe(f"paper/{study}", ["data_root=data", *overrides])
    for key, value in settings.items():
        found: Any = recipe
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value


@pytest.mark.parametrize("study", STUDIES)
def test_labels_are_names_that_mlflow_takes(study: str) -> None:
    assert all(re.fullmatch(r"[\w .:/-]+", label) for label in points(study))


def test_points_of_data_are_the_recipes_of_their_names() -> None:
    for label, bundle in points("data_sets").items():
        assert bundle == {"preprocess.mixture.only": written("data", label)["only"]}
    for label, bundle in points("text_ratios").items():
        assert bundle == {"preprocess.mixture.text_ratio": written("text_ratio", label)["text_ratio"]}


def written(folder: str, name: str) -> dict[str, Any]:
    """`preprocess.mixture` of a packaged recipe, as its file says it."""
    text = (ROOT / "jobs" / "recipe" / "packaged" / "paper" / folder / f"{name}.yaml").read_text(encoding="utf-8")
    mixture: dict[str, Any] = yaml.safe_load(text)["preprocess"]["mixture"]
    return mixture


def test_points_that_differ_in_data_are_measured_on_the_mixture() -> None:
    for study in ("data_sets", "text_ratios"):
        recipe = load_recipe(f"paper/{study}")
        assert recipe.evaluate.data == load_recipe("paper/mixture").preprocess.output == recipe.preprocess.output


def test_what_the_paper_went_on_with_is_the_mixtures_own_setting() -> None:
    mixture = load_recipe("paper/mixture").train
    assert points("head")["2 silu"] == {
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
    assert chosen == {"head": ["2 silu"], "learning_rate": ["3e-06"], "regularisers": ["0"]}


def test_the_commands_for_a_tiny_model_are_recipes() -> None:
    """What docs/recipes.md says: overrides that load over every study that takes them."""
    variables = dict(re.findall(r'^(small|demo)="(.*?)"$', PAGE, re.MULTILINE | re.DOTALL))
    overrides = [*variables["demo"].split(), *variables["small"].split(), "train.model=runs/demo/model"]
    for study in ("head", "regularisers", "learning_rate", "backbone"):
        recipe = load_recipe(f"paper/{study}", overrides)
        assert (recipe.train.max_steps, recipe.preprocess.sources, recipe.plan.shape) == (20, [], None)
        assert recipe.train.data == "runs/demo/shards"
    (bundle,) = re.findall(r'"(sweep\.parameters\.backbone\.\S+=\{.*?\})"', PAGE)
    big = bundles(load_recipe("paper/backbone", [bundle]).sweep)["qwen2_5_vl_32b"]
    assert (big["train.num_workers"], big["train.model"]) == (1, "models/Qwen2.5-VL-32B-Instruct")


@pytest.mark.parametrize("study", ["data_sets", "text_ratios"])
def test_the_small_file_of_data_has_every_set_of_the_study(study: str, tmp_path: Path) -> None:
    (text,) = re.findall(r"^```yaml small_data_sets\.yaml\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    file = tmp_path / "small.yaml"
    file.write_text(text.replace("paper/data_sets", f"paper/{study}"), encoding="utf-8")
    recipe = load_recipe(str(file))
    names = {source.name for source in recipe.preprocess.sources}
    assert names == {source.name for source in load_recipe("paper/mixture").preprocess.sources}
    assert recipe.evaluate.data == recipe.preprocess.output == "runs/small/shards"
    used = [name for one in bundles(recipe.sweep).values() for name in one.get("preprocess.mixture.only", [])]
    assert set(used) <= names
