"""Recipes: what loads, and the one line that each mistake gets."""

from functools import cache
from pathlib import Path

import pytest

from data_pipeline.errors import MissingInput, RecipeError
from data_pipeline.sources.registry import SHAPES
from jobs.recipe.load import load_recipe, packaged_recipes, required
from jobs.recipe.schema import SECTIONS, Recipe, to_flat_params, to_yaml

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


packaged = cache(load_recipe)
"""Packaged recipes, each loaded once: there are many, and the paper's take a fifth of a second each."""


def test_packaged_recipes_load() -> None:
    for name in packaged_recipes():
        assert packaged(name).name


def recipes(folder: Path, **texts: str) -> Path:
    """Recipe files, `a__b` in subfolder a; the first one's path."""
    paths = [folder / f"{name.replace('__', '/')}.yaml" for name in texts]
    for path, text in zip(paths, texts.values(), strict=True):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return paths[0]


def test_a_base_is_read_first(tmp_path: Path) -> None:
    top = recipes(
        tmp_path,
        small__top="base: ../middle.yaml\ntrain: {optimizer: {learning_rate: 1e-5}}\n",
        middle="base: low.yaml\nname: middle\ntrain: {seed: 7, zero: {stage: 3}}\n" + MINIMAL.replace("mine", "other"),
        low="run_dir: kept/${name}\ntrain: {seed: 1, epochs: 2, zero: {stage: 1, offload_optimizer: true}}\n" + MINIMAL,
    )
    recipe = load_recipe(str(top), ["train.epochs=3"])
    assert (recipe.name, recipe.run_dir) == ("top", "kept/top")  # a base's name is its own
    assert (recipe.train.seed, recipe.train.epochs, recipe.train.optimizer.learning_rate) == (7, 3, 1e-5)
    assert (recipe.train.zero.stage, recipe.train.zero.offload_optimizer) == (3, True)
    assert [source.name for source in recipe.preprocess.sources] == ["other"]  # a list is replaced


def test_a_packaged_recipe_as_base(tmp_path: Path) -> None:
    top = recipes(tmp_path, top="base: paper/mixture\nname: mine\npreprocess: {mixture: {only: [mmpr]}}\n")
    recipe, base = load_recipe(str(top)), load_recipe("paper/mixture")
    assert (recipe.name, recipe.preprocess.mixture.only) == ("mine", ["mmpr"])
    assert recipe.preprocess.sources == base.preprocess.sources
    assert base.name == "paper/mixture"


@pytest.mark.parametrize(
    ("texts", "error", "parts"),
    [
        ({"a": "base: b.yaml\n", "b": "base: a.yaml\n"}, RecipeError, ["a.yaml", "circle", "b.yaml"]),
        ({"a": "base: a.yaml\n"}, RecipeError, ["circle"]),
        ({"d__a": "base: ../d/a.yaml\n"}, RecipeError, ["circle"]),
        ({"a": "base: b.yaml\n"}, MissingInput, ["a.yaml", "'b.yaml'", "starts from"]),
        ({"a": "base: paper/mixtur\n"}, MissingInput, ["a.yaml", "did you mean 'paper/mixture'"]),
        ({"a": "base: [demo]\n"}, RecipeError, ["a.yaml", "base is ['demo']"]),
        ({"a": "base: b.yaml\n", "b": "train: {epoch: 1}\n"}, RecipeError, ["b.yaml", "train.epoch", "'epochs'"]),
        ({"a": "base: b.yaml\n", "b": "train: {\n"}, RecipeError, ["b.yaml", "not valid YAML"]),
        ({"a": "base: demo\ntrain: {epoch: 1}\n"}, RecipeError, ["a.yaml", "train.epoch"]),
    ],
)
def test_each_wrong_base_is_one_line(
    tmp_path: Path, texts: dict[str, str], error: type[Exception], parts: list[str]
) -> None:
    with pytest.raises(error) as caught:
        load_recipe(str(recipes(tmp_path, **texts)))
    message = str(caught.value)
    assert "\n" not in message
    assert [part for part in parts if part not in message] == [], message


def test_paper_recipes_differ_from_their_base_as_they_say() -> None:
    """The sets of Table 4, one recipe each; the seven kept ones; the ratios of text to images."""
    mixture = packaged("paper/mixture")
    names = {source.name for source in mixture.preprocess.sources}
    assert len(names) == len(mixture.preprocess.sources)
    assert {source.shape for source in mixture.preprocess.sources} <= SHAPES.keys()
    assert {source.shape for source in mixture.preprocess.decontaminate.against} <= SHAPES.keys()
    assert len(mixture.preprocess.decontaminate.against) == 5
    single = [name for name in packaged_recipes() if name.startswith("paper/data/")]
    assert len(single) == 11
    for recipe in map(packaged, single):
        only = recipe.preprocess.mixture.only
        assert only and set(only) <= names
        assert recipe.train.optimizer == mixture.train.optimizer
        assert recipe.run_dir == f"runs/{recipe.name}"
    kept = set(mixture.preprocess.mixture.only)
    assert sum(set(packaged(name).preprocess.mixture.only) <= kept for name in single) == 7
    ratios = [name for name in packaged_recipes() if name.startswith("paper/text_ratio/")]
    assert sorted(packaged(name).preprocess.mixture.text_ratio or 0.0 for name in ratios) == [0.0, 0.25, 0.5, 1.0]
    assert all(set(packaged(name).preprocess.mixture.only) == kept for name in ratios)


def test_ultra_all_and_ultra_hard_read_one_file() -> None:
    sources = {source.name: source for source in packaged("paper/mixture").preprocess.sources}
    both = sources["ultra_all"], sources["ultra_hard"]
    assert both[0].path == both[1].path
    assert [source.responses for source in both] == ["all", "extremes"]


def test_required() -> None:
    assert required("a", "score.input", "x") == "a"
    with pytest.raises(RecipeError, match=r"score\.input is not set: add score\.input=mine\.jsonl"):
        required(None, "score.input", "mine.jsonl")


@pytest.mark.parametrize(
    "value",
    ["${oc.env:AWS_SECRET_ACCESS_KEY}", "http://host/${oc.env:HOME,x}", "${oc.decode:'[1]'}", "${oc.select:run_dir}",
     "${oc.create:{a: 1}}", "${env:HOME}", "${${name}:HOME}", "a/${run_dir}/${oc.env:HOME}"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["file", "override"])
def test_a_recipe_reads_no_variables_of_whoever_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, where: str
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "topsecretkey")
    path = tmp_path / "stranger.yaml"
    path.write_text(f'tracking: {{uri: "{value}"}}\n' if where == "file" else "{}\n")
    # In an override braces are YAML's, which refuses some of these before they are resolved.
    with pytest.raises(
        RecipeError, match="from its own keys only" if where == "file" else r"override|keys only"
    ) as caught:
        load_recipe(str(path), [] if where == "file" else [f"tracking.uri={value}"])
    assert "topsecretkey" not in str(caught.value)
