"""Paths in recipes that nobody means are refused before anything is written there."""

from dataclasses import replace
from pathlib import Path

import pytest

from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.errors import RecipeError
from jobs.recipe.addresses import check_places
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe

MINE = Recipe(name="r", preprocess=PreprocessConfig(sources=[SourceConfig(name="mine", path="mine.jsonl")]))


def recipe(key: str, value: str) -> Recipe:
    *sections, field = key.split(".")
    if not sections:
        return replace(MINE, **{field: value})
    made = replace(getattr(MINE, sections[0]), **{field: value})
    return replace(MINE, **{sections[0]: made})


@pytest.mark.parametrize("key", ["run_dir", "data_root", "preprocess.output", "train.model", "score.media_root"])
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("~/runs", "begins with ~"),
        ("~", "begins with ~"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("\x1b[2J", "control character"),
        ("a\x85b", "control character"),
        ("a\u2028b", "control character"),
    ],
)
def test_a_path_that_nobody_means_is_refused_by_its_key(key: str, value: str, said: str) -> None:
    with pytest.raises(RecipeError, match=f"^r.yaml: {key}=.*{said}"):
        check_places(recipe(key, value), "r.yaml")


@pytest.mark.parametrize(
    ("key", "value"), [("run_dir", ""), ("train.output", " "), ("name", ""), ("name", "a\nb"), ("name", "\x1b]0;x\x07")]
)
def test_what_is_written_has_a_name(key: str, value: str) -> None:
    with pytest.raises(RecipeError, match=f"^r.yaml: {key}( is empty|=.* control character)"):
        check_places(recipe(key, value), "r.yaml")


@pytest.mark.parametrize("value", ["runs/lr[1]", "a b/~x", "s3://bucket/a~", "写真　1", "می‌خواهم", "C:\\x", "a?*"])
def test_other_paths_pass(value: str) -> None:
    check_places(recipe("run_dir", value), "r.yaml")


def test_an_override_that_the_shell_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("name: r\n")
    with pytest.raises(RecipeError, match="run_dir=~/runs begins with ~"):
        load_recipe(str(tmp_path / "r.yaml"), ["run_dir=~/runs"])


@pytest.mark.parametrize("value", [".", "..", " .. "])
def test_a_name_is_no_folder_above(value: str) -> None:
    with pytest.raises(RecipeError, match=r"^r.yaml: name=.* is no name but a folder: runs lie in runs/NAME"):
        check_places(recipe("name", value), "r.yaml")
