"""Several recipes may share a folder of shards: each reads its own manifest, never another's."""

import json
from pathlib import Path

import pytest

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.pipeline import prepare
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe


@pytest.fixture
def path(tmp_path: Path) -> str:
    rows = [{"prompt": f"Say {i}", "chosen": f"It is {i}.", "rejected": "No."} for i in range(9)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    train_tokenizer(["Say 1. It is 2. No."], 300, str(tmp_path / "model"))
    recipe = f"name: a\ndata_root: {tmp_path}\nrun_dir: {tmp_path}/run\npreprocess:\n  tokenizer: {tmp_path}/model\n"
    (tmp_path / "a.yaml").write_text(recipe + "  sources: [{name: pairs, path: pairs.jsonl}]\n")
    return str(tmp_path / "a.yaml")


def made(path: str, *overrides: str) -> tuple[Recipe, Manifest]:
    recipe = load_recipe(path, overrides)
    return recipe, prepare(recipe.preprocess)


def test_each_recipe_finds_its_own_manifest(path: str) -> None:
    first, one = made(path)
    second, two = made(path, "preprocess.split.seed=3")
    assert one.address != two.address
    for recipe, manifest in ((first, one), (second, two)):
        place = manifest_of(recipe, recipe.train.data)
        assert Manifest.read(place) == manifest and place.endswith(f"manifests/{manifest.address}.json")
        assert manifest_of(recipe, place) == place


def test_data_of_other_settings_is_refused(path: str) -> None:
    made(path)
    other = load_recipe(path, ["preprocess.rules.max_tokens=77"])
    with pytest.raises(RecipeError, match=r"preprocess\.rules\.max_tokens was 8192, now 77.*preprocess"):
        manifest_of(other, other.train.data)


def test_a_foreign_folder_means_its_newest_manifest(path: str, tmp_path: Path) -> None:
    _, manifest = made(path)
    other = load_recipe(path, [f"run_dir={tmp_path}/other", f"train.data={tmp_path}/run/shards"])
    assert manifest_of(other, other.train.data).endswith(f"{manifest.address}.json")
