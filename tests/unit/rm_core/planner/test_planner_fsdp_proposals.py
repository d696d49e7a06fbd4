"""What is proposed for a training under FSDP is what FSDP has; and for one under DeepSpeed, what DeepSpeed has."""

from dataclasses import replace

import pytest

from data_pipeline.errors import RecipeError
from jobs.recipe.load import load_recipe
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import GPUS, Gpu
from rm_core.planner.memory import memory_of
from rm_core.planner.propose import best_setting, check_fits, overrides, proposals
from rm_core.planner.setting import Setting
from rm_core.planner.workload import assumed_workload
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig

BACKBONE = config_of_shape("7b")
ARCH = architecture_of(BACKBONE, TrainConfig())
FULL = ("train.engine=fsdp", "train.activation_checkpointing=full")
TIGHT = {
    "stage 1": ("h100-80gb", "train.zero.stage=1", "train.num_workers=4"),
    "stage 2": ("a100-40gb", "train.zero.stage=2"),
    "stage 3": ("l40s-48gb", "train.zero.stage=3", "train.num_workers=2"),
    "sent once a step": ("a100-40gb", "train.zero.stage=3", "train.zero.reduce=step"),
    "in groups": ("a100-40gb", "train.zero.stage=3", "train.num_workers=32", "train.zero.shard_size=4"),
    "a second copy": (
        "a100-40gb", "train.zero.stage=3", "train.num_workers=8", "train.zero.hpz_partition_size=2",
        "train.activation_checkpointing=selective",
    ),
    "liger": ("a100-40gb", "train.paradigm=critic", "train.language_loss=liger", "train.zero.stage=2"),
}  # fmt: skip


def small(name: str) -> Gpu:
    return replace(GPUS[name], memory_gb=0.9 * GPUS[name].memory_gb)


@pytest.mark.parametrize("case", TIGHT)
def test_proposals_are_recipes_that_train_and_fit(case: str) -> None:
    name, *words = TIGHT[case]
    gpu = small(name)
    recipe = load_recipe("scale/7b_zero2", [*FULL, *words])
    with pytest.raises(RecipeError, match="does not fit: .* What fits: train") as refused:
        check_fits(recipe.train, gpu, backbone=BACKBONE)
    _, _, cures = str(refused.value).partition("What fits: ")
    for cure in cures.split("; or "):
        assert "offload" not in cure
        cured = load_recipe("scale/7b_zero2", [*FULL, *words, *cure.split()])
        assert cured.train.engine == "fsdp"
        check_train_config(cured.train)
        check_fits(cured.train, gpu, backbone=BACKBONE)


def proposed(*words: str, gpu: Gpu) -> list[str]:
    setting = Setting.of(load_recipe("scale/7b_zero2", [*FULL, *words]).train)
    return [overrides(setting, one) for one in proposals(ARCH, setting, gpu)]


def test_gradients_are_sent_each_row_where_whole_ones_do_not_fit() -> None:
    gpu = replace(GPUS["h100-80gb"], memory_gb=60)
    assert "train.zero.reduce=row" in proposed("train.zero.reduce=step", gpu=gpu)
    assert "train.zero.reduce=row train.zero.stage=2" not in proposed("train.zero.stage=1", gpu=gpu), "auto does that"
    assert "train.zero.stage=2" in proposed("train.zero.stage=1", gpu=gpu)


def test_groups_are_joined_and_second_copies_left_out() -> None:
    grouped = ("train.zero.stage=3", "train.num_workers=32", "train.zero.shard_size=2")
    assert "train.zero.shard_size=0" in proposed(*grouped, gpu=replace(GPUS["h100-80gb"], memory_gb=60))
    config = load_recipe("scale/7b_zero2", [*FULL, "train.zero.stage=3", "train.zero.hpz_partition_size=2"]).train
    setting = Setting.of(config)
    needed = memory_of(ARCH, replace(setting, hpz_partition_size=1)).needed
    found = proposals(ARCH, setting, replace(GPUS["a100-40gb"], memory_gb=1.01 * needed / 1e9))
    assert "train.zero.hpz_partition_size=1" in [overrides(setting, one) for one in found]


def test_deepspeed_is_proposed_no_stage_with_gradients_that_it_sends_otherwise() -> None:
    setting = replace(Setting.of(TrainConfig(num_workers=8)), stage=1, reduce="step", recompute="full")
    found = proposals(ARCH, setting, replace(GPUS["h100-80gb"], memory_gb=50))
    assert found
    assert all(one.reduce == "row" for one in found if one.stage > 1)
    assert any(one.stage > 1 for one in found)


@pytest.mark.parametrize("gpus", [8, 24, 32])
def test_the_fastest_setting_is_one_that_the_engine_has(gpus: int) -> None:
    config = PlanConfig()
    workload = assumed_workload(config, BACKBONE)
    wanted = Setting.of(TrainConfig(num_workers=32, engine="fsdp"))
    wanted = replace(wanted, gpus=gpus, stage=3, shard_size=16, hpz_partition_size=8)
    cell = best_setting(ARCH, wanted, workload, GPUS["h100-80gb"], config)
    assert cell is not None
    assert cell.words.startswith("FSDP-")
    assert not cell.setting.offload_optimizer
    assert cell.setting.shard_size == (16 if gpus == 32 else 0)
    check_train_config(TrainConfig(num_workers=gpus, engine="fsdp", zero=cell.setting.zero))
