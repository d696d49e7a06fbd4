"""No path of a recipe is forgotten where a command is sent to another machine."""

from dataclasses import replace

import pytest

from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.errors import RecipeError
from jobs.recipe.addresses import PLACES
from jobs.recipe.schema import EvaluateConfig, Recipe, to_flat_params
from jobs.submit.checks import PATHS, check_submitted


def test_each_key_of_a_file_or_folder_is_checked_for_some_command() -> None:
    recipe = Recipe(name="one")
    keys = {key for key in to_flat_params(recipe) if key.rpartition(".")[2] in PLACES}
    keys -= {"evaluate.judge.model", "reasonings.judge.model", "rl.reward.consistency.model"}  # names of servers
    keys -= {f"{section}.critiques.source" for section in ("evaluate", "score", "serve")}  # words
    checked = {"run_dir"}.union(*PATHS.values())
    assert keys == checked, "a list's paths start from data_root, and members of an ensemble have a check of their own"


def test_folders_of_benchmarks_are_checked_by_their_names() -> None:
    remote = {key: f"s3://bucket/{key}" for key in ("data", "model", "output")}
    config = EvaluateConfig(**remote, suites=["rm_bench"], suite_folders={"rm_bench": "benchmarks/rm_bench"})
    recipe = replace(Recipe(name="one"), run_dir="s3://bucket/one", evaluate=config)
    with pytest.raises(
        RecipeError, match=r"evaluate\.suite_folders\.rm_bench=benchmarks/rm_bench starts from a folder"
    ):
        check_submitted("evaluate", recipe)


def test_a_fetch_goes_where_all_nodes_read() -> None:
    recipe = replace(Recipe(name="one"), run_dir="s3://bucket/one", data_root="s3://bucket/raw")
    recipe = replace(recipe, preprocess=PreprocessConfig(data_root="s3://bucket/raw"))
    check_submitted("fetch", recipe)
    with pytest.raises(RecipeError, match=r"data_root=data starts from a folder of this machine"):
        check_submitted("fetch", replace(recipe, data_root="data"))


def test_a_policy_that_cannot_be_trained_is_not_sent() -> None:
    recipe = Recipe(name="one", run_dir="s3://b/one", data_root="s3://b/raw")
    for section in (recipe.init_model, recipe.train, recipe.rl):
        section.output = "s3://b/one/out"
    recipe.rl.policy, recipe.rl.reward.model, recipe.rl.sample.output = "s3://b/p", "s3://b/m", "s3://b/one/samples"
    recipe.tracking.uri = "http://mlflow:5000"
    with pytest.raises(RecipeError, match=r"rl\.prompts is empty"):
        check_submitted("rl", recipe)
    recipe.rl.prompts = [SourceConfig(name="mine", path="mine.jsonl")]
    check_submitted("rl", recipe)
    recipe.rl.reward.kind, recipe.rl.reward.consistency.url = "verdict", "http://host:8000/v1"
    with pytest.raises(RecipeError, match=r"rl\.reward\.consistency\.model is not set"):
        check_submitted("rl", recipe)
    recipe.rl.reward.consistency.model = "qwen"
    check_submitted("rl", recipe)
    recipe.cluster.submit.stop_wait_s = 60
    with pytest.raises(RecipeError, match=r"within its rl\.stop_grace_s=120"):
        check_submitted("rl", recipe)
