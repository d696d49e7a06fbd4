"""Benchmarks that a training evaluates on: refused before anything is written, then read once for the group."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from prepared_toys import mixed_toy, write_toy
from suite_toys import write_suite

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError
from jobs.recipe.schema import EvaluateConfig, Recipe
from jobs.train.suites import checked_suites, prepared_sets
from rm_core.model.shape_config import backbone_config
from rm_core.train_config.config import TrainConfig

SUITE = "mm_rlhf_rewardbench"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("training-suites")
    write_toy(path / "shards", mixed_toy(12))
    write_suite(path / "suites", SUITE)
    tokenizer = load_tokenizer(str(path / "toy-model"))
    backbone = backbone_config("tiny", vocab_size=tokenizer.vocab_size, special_ids=tokenizer.special_ids)
    backbone.save_pretrained(path / "toy-model")
    return path


def recipe_in(folder: Path, **changes: Any) -> Recipe:
    train = TrainConfig(
        model=str(folder / "toy-model"), data=str(folder / "shards"), output=str(folder / "train"),
        evaluate_every=5, evaluate_suites=[SUITE],
    )  # fmt: skip
    evaluate = EvaluateConfig(suite_root=str(folder / "suites"), missing_pictures="without")
    return replace(Recipe(name="toy"), train=replace(train, **changes), evaluate=evaluate)


@pytest.mark.parametrize(
    ("changes", "refusal"),
    [
        (
            {"evaluate_suites": ["mm_rlhf"]},
            "train.evaluate_suites has 'mm_rlhf', which is no suite: there are mm",
        ),
        (
            {"best_metric": f"suite/{SUITE}/nobody"},
            f"there are train/loss, .*suite/{SUITE}/acc, suite/{SUITE}/acc_plus",
        ),
    ],
)
def test_names_that_are_not_there_are_refused(folder: Path, changes: dict[str, Any], refusal: str) -> None:
    recipe = recipe_in(folder, **changes)
    with pytest.raises(RecipeError, match=refusal):
        checked_suites(recipe, recipe.train, PreparedData.open(recipe.train.data))
    assert not (folder / "train").exists()


def test_a_suite_is_read_once_for_the_group_and_its_rows_have_to_fit(folder: Path) -> None:
    recipe = recipe_in(folder, best_metric=f"suite/{SUITE}/acc_plus")
    data = PreparedData.open(recipe.train.data)
    suites = checked_suites(recipe, recipe.train, data)
    heldout, suite = prepared_sets(recipe, recipe.train, data, suites)
    assert heldout.measured_on == "2 of 2 held-out Comparisons"
    assert (suite.name, suite.measured_on) == (SUITE, "170 rows, 170 scored without their pictures")
    manifest = folder / "train/suites" / SUITE / "manifest.json"
    written = manifest.stat().st_mtime_ns
    small = replace(recipe.train, token_budget=int(suite.table.num_tokens.max()) - 1, evaluate_limit=1)
    with pytest.raises(RecipeError, match="token_budget"):
        prepared_sets(recipe, small, data, suites)
    assert manifest.stat().st_mtime_ns == written, "as it was"
