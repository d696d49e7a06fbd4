"""Recipes: what loads, and the one line that each mistake gets."""

from pathlib import Path

import pytest

from data_pipeline.errors import MissingInput, RecipeError
from jobs.config import SECTIONS, Recipe, to_flat_params, to_yaml
from jobs.recipe_file import load_recipe, packaged_recipes, required

MINIMAL = "preprocess:\n  sources:\n    - {name: mine, path: mine.jsonl}\n"


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.yaml"
    path.write_text(MINIMAL)
    return path


def write(tmp_path: Path, text: str) -> str:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    return str(path)


def test_folders_follow_run_dir(recipe_file: Path) -> None:
    recipe = load_recipe(str(recipe_file), ["run_dir=out"])
    assert recipe.name == "small"
    assert recipe.preprocess.output == recipe.train.data == recipe.evaluate.data == "out/shards"
    assert recipe.init_model.output == recipe.train.model == recipe.preprocess.tokenizer == "out/model"
    assert recipe.evaluate.model == recipe.score.model == "out/train/export"
    assert recipe.tracking.uri == "sqlite:///out/mlflow.db"


def test_overrides_reach_lists_and_types(recipe_file: Path) -> None:
    overrides = ["preprocess.sources.0.limit=7", "train.max_steps=3", "train.optimizer.learning_rate=1e-3", "name=a=b"]
    recipe = load_recipe(str(recipe_file), overrides)
    assert recipe.preprocess.sources[0].limit == 7
    assert recipe.train.max_steps == 3
    assert recipe.train.optimizer.learning_rate == 1e-3
    assert recipe.name == "a=b"
    assert load_recipe(str(recipe_file), ["train.max_steps=null"]).train.max_steps is None


def test_yaml_round_trip(recipe_file: Path, tmp_path: Path) -> None:
    recipe = load_recipe(str(recipe_file), ["train.zero.stage=3"])
    (tmp_path / "resolved.yaml").write_text(to_yaml(recipe))
    assert load_recipe(str(tmp_path / "resolved.yaml")) == recipe


def test_flat_params(recipe_file: Path) -> None:
    params = to_flat_params(load_recipe(str(recipe_file)))
    assert params["preprocess.sources.0.name"] == "mine"
    assert params["train.zero.stage"] == "2"
    assert params["train.max_steps"] == ""
    assert {key.split(".")[0] for key in to_flat_params(load_recipe(str(recipe_file)), ["train"])} == {"train"}


def test_sections_are_the_recipes_sections() -> None:
    assert set(SECTIONS) == set(Recipe.__dataclass_fields__) - {"name", "run_dir", "data_root"}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("train:\n  epoch: 3\n", ["train.epoch", "did you mean 'epochs'"]),
        ("tran:\n  epochs: 3\n", ["'tran'", "did you mean 'train'"]),
        ("train:\n  zero: {stge: 3}\n", ["train.zero.stge", "did you mean 'stage'"]),
        ("train:\n  epochs: many\n", ["train.epochs", "many"]),
        ("train: 3\n", ["train is 3", "section"]),
        ("preprocess:\n  sources:\n    - {name: x, pth: y}\n", ["preprocess.sources[0].pth", "did you mean 'path'"]),
        ("preprocess:\n  sources:\n    - {name: x, path: y, limit: all}\n", ["preprocess.sources[0].limit", "all"]),
        ("preprocess:\n  sources:\n    - {name: x}\n", ["preprocess.sources[0].path", "has no value"]),
        ("preprocess:\n  sources: {name: x}\n", ["preprocess.sources", "list"]),
        ("preprocess:\n  sources: [x]\n", ["preprocess.sources[0]", "'x'"]),
        ("run_dir: ${nme}/x\n", ["run_dir", "nme"]),
        ("run_dir: ${run_dir}\n", ["run_dir", "Recursive"]),
        ("run_dir: ${name\n", ["run_dir"]),
        ("train: {\n", ["not valid YAML", "line"]),
        ("name: a\nname: b\n", ["name"]),
        ("- a\n- b\n", ["key: value"]),
        ("hello\n", ["key: value", "hello"]),
    ],
)
def test_each_mistake_is_one_line(tmp_path: Path, text: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(write(tmp_path, text))
    message = str(caught.value)
    assert "\n" not in message
    assert "wrong.yaml" in message
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("train.epoch=3", ["train.epoch", "did you mean 'epochs'"]),
        ("trian.epochs=3", ["trian", "did you mean 'train'"]),
        ("train.epochs=x", ["train.epochs", "'x'"]),
        ("train=3", ["train", "3"]),
        ("preprocess.sources.0.limt=4", ["preprocess.sources[0].limt", "did you mean 'limit'"]),
        ("preprocess.sources.x.limit=4", ["preprocess.sources.x.limit=4"]),
        ("preprocess.sources.9.limit=4", ["preprocess.sources.9.limit=4"]),
        ("train.epochs.more=1", ["train.epochs"]),
        ("junk", ["key=value"]),
        ("=3", ["key=value"]),
        ("name={", ["name={"]),
    ],
)
def test_each_wrong_override_is_one_line(recipe_file: Path, override: str, parts: list[str]) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(str(recipe_file), [override])
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in [*parts, override] if part not in message] == [], message


def test_missing_recipe_names_the_nearest(tmp_path: Path) -> None:
    nearest = packaged_recipes()[0]
    with pytest.raises(MissingInput, match=f"did you mean '{nearest}'"):
        load_recipe(nearest + "x")
    with pytest.raises(MissingInput, match=r"nope\.yaml"):
        load_recipe(str(tmp_path / "nope.yaml"))


def test_packaged_recipes_load() -> None:
    for name in packaged_recipes():
        assert load_recipe(name).name


def test_required() -> None:
    assert required("a", "score.input", "x") == "a"
    with pytest.raises(RecipeError, match=r"score\.input is not set: add score\.input=mine\.jsonl"):
        required(None, "score.input", "mine.jsonl")
