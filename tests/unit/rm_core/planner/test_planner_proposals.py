"""The recipes of scale/ fit the GPUs they name; what does not fit is refused, with proposals that fit."""

from dataclasses import replace
from typing import Any

import pytest

from data_pipeline.errors import RecipeError
from jobs.recipe.load import load_recipe, packaged_recipes
from rm_core.planner.architecture import Architecture, architecture_of, config_of_shape
from rm_core.planner.gpus import GPUS, Gpu, gpu_of, gpu_of_device
from rm_core.planner.memory import PATCH_STEP, TOKEN_STEP, largest_patch_budget, largest_token_budget, memory_of
from rm_core.planner.propose import check_fits, overrides, proposals, refuse
from rm_core.planner.setting import Row, Setting
from rm_core.train_config.config import TrainConfig

RECIPES = [name for name in packaged_recipes() if name.startswith("scale/")]
TIGHTER = {
    "scale/3b_zero1": "train.activation_checkpointing=none",
    "scale/3b_zero2": "train.activation_checkpointing=none",
    "scale/3b_zero2_offload": "train.activation_checkpointing=selective",
    "scale/3b_zero3": "train.activation_checkpointing=selective",
    "scale/7b_zero1": "plan.gpu=h100-80gb",
    "scale/7b_zero2": "plan.gpu=a100-40gb",
    "scale/7b_zero2_offload": "train.zero.offload_optimizer=false",
    "scale/7b_zero3": "train.num_workers=4",
    "scale/7b_zero3_offload": "train.zero.offload_optimizer=false",
    "scale/32b_zero2": "train.num_workers=8",
    "scale/32b_zero3": "train.num_workers=8",
    "scale/32b_zero3_offload": "train.zero.offload_optimizer=false",
    "scale/72b_zero3": "train.num_workers=8",
    "scale/72b_zero3_offload": "train.zero.offload_optimizer=false",
    "scale/internvl3_8b_zero2": "plan.gpu=a100-40gb",
    "scale/qwen3_vl_8b_zero2": "plan.gpu=a100-40gb",
}


QUICK = ("scale/3b_zero2", "scale/7b_zero2", "scale/72b_zero3")
"""Tighter ones of the others are planned in the drills."""


def planned(name: str, *words: str) -> tuple[Architecture, Setting, Gpu]:
    recipe = load_recipe(name, words)
    assert recipe.plan.shape is not None
    arch = architecture_of(config_of_shape(recipe.plan.shape), recipe.train)
    return (
        arch,
        Setting.of(recipe.train, gpus=recipe.plan.gpus),
        gpu_of(recipe.plan.gpu, margin=recipe.plan.memory_margin),
    )


def test_every_recipe_has_a_tighter_one() -> None:
    assert sorted(TIGHTER) == RECIPES


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_fits_and_the_next_row_does_not(name: str) -> None:
    arch, setting, gpu = planned(name)
    assert memory_of(arch, setting).fits(gpu)
    assert setting.global_batch == 128
    tokens, patches = largest_token_budget(arch, setting, gpu), largest_patch_budget(arch, setting, gpu)
    assert memory_of(arch, replace(setting, token_budget=tokens)).fits(gpu)
    assert not memory_of(arch, replace(setting, token_budget=tokens + TOKEN_STEP)).fits(gpu)
    assert memory_of(arch, replace(setting, patch_budget=patches)).fits(gpu)
    assert not memory_of(arch, replace(setting, patch_budget=patches + PATCH_STEP)).fits(gpu)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.drill]) for name in RECIPES]
)
def test_a_tighter_one_is_refused_and_its_proposals_fit(name: str) -> None:
    recipe = load_recipe(name, [TIGHTER[name]])
    gpu = gpu_of(recipe.plan.gpu, margin=recipe.plan.memory_margin)
    backbone = config_of_shape(str(recipe.plan.shape))
    with pytest.raises(RecipeError, match="does not fit: .* needs .* What fits: train") as refused:
        check_fits(recipe.train, gpu, backbone=backbone)
    _, _, cures = str(refused.value).partition("What fits: ")
    for cure in cures.split("; or "):
        # Through the recipe, as a user would: what is proposed are valid keys and values.
        cured = load_recipe(name, [TIGHTER[name], *cure.split()])
        check_fits(cured.train, gpu, backbone=backbone)


def test_proposals_change_as_little_as_possible() -> None:
    arch = architecture_of(config_of_shape("7b"), TrainConfig())
    setting = Setting.of(TrainConfig(num_workers=8))
    (found,) = proposals(arch, setting, GPUS["h100-80gb"])
    assert overrides(setting, found) == "train.activation_checkpointing=full"


def test_a_proposed_row_holds_the_largest_comparison() -> None:
    arch, setting, gpu = planned("scale/7b_zero2", "plan.gpu=a100-40gb")
    gpu = replace(gpu, memory_gb=44, margin=0.0)  # little enough for another row to be all that is needed
    budgets = {one.patch_budget for one in proposals(arch, setting, gpu)}
    assert any(budget < setting.patch_budget for budget in budgets)
    kept = proposals(arch, setting, gpu, smallest=Row(tokens=setting.token_budget, patches=setting.patch_budget))
    assert {(one.token_budget, one.patch_budget) for one in kept} == {(setting.token_budget, setting.patch_budget)}


def test_where_nothing_fits_larger_gpus_are_named() -> None:
    wanted = "What fits: nothing on up to 256 of these GPUs; on others plan.gpu=a100-40gb (train.*)"
    with pytest.raises(RecipeError, match=wanted) as refused:
        check_fits(
            TrainConfig(num_workers=8), replace(GPUS["a100-40gb"], memory_gb=20), backbone=config_of_shape("72b")
        )
    words = str(refused.value).partition("plan.gpu=a100-40gb ")[2].split()
    cured = load_recipe("scale/72b_zero3", ["train.num_workers=8", "train.zero.stage=2", *words])
    check_fits(cured.train, GPUS["a100-40gb"], backbone=config_of_shape("72b"))


def test_where_no_gpu_is_enough_that_is_said() -> None:
    config = TrainConfig(num_workers=256, token_budget=1 << 20, activation_checkpointing="full")
    config.zero.stage = 3
    arch = architecture_of(config_of_shape("72b"), config)
    row = Row(tokens=1 << 20, patches=config.patch_budget)
    error = refuse(arch, Setting.of(config), GPUS["b200-192gb"], smallest=row)
    assert "and none of the catalogue either: train less of the model" in str(error)


def test_adapters_fit_where_full_training_does_not() -> None:
    config = TrainConfig(num_workers=2, activation_checkpointing="full")
    with pytest.raises(RecipeError):
        check_fits(config, GPUS["l40s-48gb"], backbone=config_of_shape("7b"))
    config.weights.language.train, config.weights.vision.train = "lora", "frozen"
    config.weights.embeddings.train = "frozen"
    memory = check_fits(config, GPUS["l40s-48gb"], backbone=config_of_shape("7b"))
    assert memory.states.moments < 1e9


def test_cpu_memory_may_be_what_is_short() -> None:
    small: Any = replace(GPUS["h100-80gb"], host_gb=64)
    with pytest.raises(RecipeError, match="GB of CPU memory for each GPU"):
        check_fits(load_recipe("scale/32b_zero3_offload").train, small, backbone=config_of_shape("32b"))


def test_an_unknown_gpu_is_refused() -> None:
    with pytest.raises(RecipeError, match="plan.gpu='h100' is not in the catalogue; choose one of l40s-48gb"):
        gpu_of("h100")


def test_a_device_that_is_there_counts_with_its_own_memory() -> None:
    config = TrainConfig(num_workers=8, activation_checkpointing="full")
    device = gpu_of_device("Some GPU", memory_bytes=24 * 2**30, host_bytes=200 * 2**30)
    with pytest.raises(RecipeError, match="on each GPU, and Some GPU has 25.77. What fits: train"):
        check_fits(config, device, backbone=config_of_shape("7b"))
    config.zero.stage, config.num_workers = 3, 64
    assert check_fits(config, device, backbone=config_of_shape("7b")).needed < 24 * 2**30
