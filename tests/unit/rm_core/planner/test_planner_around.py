"""A margin in a GPU's memory, and what a training takes beside its steps; by hand."""

from dataclasses import replace

import pytest

from data_pipeline.errors import RecipeError
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.around import around_of
from rm_core.planner.config import PlanConfig, check_plan_config
from rm_core.planner.gpus import gpu_of, gpu_of_device
from rm_core.planner.memory import largest_token_budget, memory_of
from rm_core.planner.propose import proposals, refuse
from rm_core.planner.roofline import time_of
from rm_core.planner.setting import Setting
from rm_core.planner.workload import assumed_workload
from rm_core.train_config.config import TrainConfig

BACKBONE = config_of_shape("3b")
ARCH = architecture_of(BACKBONE, TrainConfig())
EIGHT = replace(Setting.of(TrainConfig(num_workers=8)), recompute="full")
P = ARCH.numel


def test_the_margin_stays_free() -> None:
    needed = memory_of(ARCH, EIGHT).needed / 1e9
    tight, plain = replace(gpu_of("h100-80gb", margin=0.06), memory_gb=needed / 0.95), gpu_of("h100-80gb")
    assert tight.usable_gb < needed < tight.memory_gb
    assert memory_of(ARCH, EIGHT).fits(replace(tight, margin=0.0)), "all of it is taken where nothing is to stay free"
    assert "of which plan.memory_margin leaves" in memory_of(ARCH, EIGHT).lacking(tight)
    assert largest_token_budget(ARCH, EIGHT, replace(plain, margin=0.2)) < largest_token_budget(ARCH, EIGHT, plain)
    assert all(memory_of(ARCH, one).needed <= tight.usable_gb * 1e9 for one in proposals(ARCH, EIGHT, tight))
    with pytest.raises(RecipeError, match="plan.memory_margin=1.0 must be at least 0 and below 1"):
        check_plan_config(PlanConfig(memory_margin=1.0))


def test_larger_gpus_are_proposed_with_the_margin_too() -> None:
    """What fits the next larger GPU only without its margin is not proposed."""
    needed = memory_of(ARCH, EIGHT).needed / 1e9
    small = replace(gpu_of("a100-40gb"), memory_gb=1.0)  # nothing fits it, whatever is changed
    assert str(refuse(ARCH, EIGHT, small)).endswith("on others plan.gpu=a100-40gb")
    margin = 1 - 0.99 * needed / 42  # 42 GB of an A100 are just too few
    assert not str(refuse(ARCH, EIGHT, replace(small, margin=margin))).endswith("plan.gpu=a100-40gb")


def test_a_gpu_that_is_there_has_no_margin() -> None:
    assert gpu_of_device("Some GPU", memory_bytes=10**10, host_bytes=10**10).usable_gb == 10


def test_what_a_training_takes_beside_its_steps() -> None:
    config = PlanConfig(start_s=100.0, store_gb_s=2.0)
    around = around_of(ARCH, EIGHT, config, steps=1001, step_s=3.0)
    assert around.start_s == pytest.approx(100 + 2 * P / 2e9)
    assert (around.checkpoints, around.checkpoint_bytes) == (3, 12 * P)
    assert around.copy_s == pytest.approx(12 * P / 8 / 3e9)
    assert around.upload_s == pytest.approx(12 * P / 2e9)  # one node sends all parts
    assert around.held_up_s == 0.0, "500 steps of 3 s are longer"
    assert around.saving_s == pytest.approx(3 * around.copy_s + around.upload_s)
    assert around.export_s == pytest.approx(2 * P / 0.5e9 + 2 * P / 2e9)
    often = around_of(ARCH, replace(EIGHT, checkpoint_every=5), config, steps=10, step_s=3.0)
    assert often.held_up_s == pytest.approx(often.upload_s - 15)
    assert often.saving_s == pytest.approx(2 * often.copy_s + often.held_up_s + often.upload_s)
    nodes = around_of(ARCH, replace(EIGHT, gpus=32), config, steps=10, step_s=3.0)
    assert nodes.upload_s == pytest.approx(around.upload_s / 4)


def test_hours_hold_all_of_it() -> None:
    config, gpu = PlanConfig(), gpu_of("h100-80gb")
    time = time_of(ARCH, EIGHT, assumed_workload(config, BACKBONE), gpu, config, steps=1000)
    assert 3600 * time.hours == pytest.approx(1000 * time.step_s + time.around.total_s)
    assert time.around.total_s > 600


def test_the_snapshot_of_a_checkpoint_lies_beside_what_is_offloaded() -> None:
    memory = memory_of(ARCH, replace(EIGHT, gpus=2, offload_optimizer=True))
    assert memory.snapshot == 12 * P // 2
    assert memory.host == memory.states.host + memory.snapshot
    host_gb = 16 + (memory.states.host + memory.snapshot // 2) / 1e9
    assert "GB of CPU memory for each GPU are needed" in memory.lacking(replace(gpu_of("h200-141gb"), host_gb=host_gb))
