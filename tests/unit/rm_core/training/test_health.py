"""Drift of rewards, stalls of data, memory that ran out: when they are told, and in which words."""

from typing import Any

import pytest
import torch

from data_pipeline.errors import RecipeError, RunError
from rm_core.planner.architecture import config_of_shape
from rm_core.planner.gpus import GPUS
from rm_core.planner.propose import check_fits
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import HealthConfig, ProfileConfig, TrainConfig, ZeroConfig
from rm_core.training.health import DataStalls, RewardDrift, explain_out_of_memory

CPU = torch.device("cpu")


def rewards(mean: float, spread: float) -> dict[str, float]:
    return {"train/reward_mean": mean, "train/reward_std": spread}


def test_drift_is_counted_in_standard_deviations_of_the_first_window_and_told_once() -> None:
    said: list[str] = []
    drift = RewardDrift(HealthConfig(reward_drift=8.0), said.append)
    assert drift.after(1, {}) is None, "a window whose steps were all left out"
    assert drift.after(2, rewards(1.0, 0.5)) is None
    assert drift.after(3, rewards(5.0, 0.5)) == 8.0
    assert drift.after(4, rewards(1.0, 2.0)) == 4.0
    assert said == []
    for step in (5, 6):
        assert drift.after(step, rewards(-3.5, 0.5)) == 9.0
    assert len(said) == 1 and said[0].startswith("step 5: rewards are -3.5 +- 0.5, they began at 1 +- 0.5")


def test_drift_may_end_the_training_or_not_be_looked_at() -> None:
    drift = RewardDrift(HealthConfig(reward_drift=8.0, stop_on_drift=True), print)
    drift.first = (0.0, 1.0)  # as a checkpoint brings it back
    with pytest.raises(RunError, match=r"step 9: .*train\.health\.reward_drift=8"):
        drift.after(9, rewards(9.0, 1.0))
    silent = RewardDrift(HealthConfig(reward_drift=0.0, stop_on_drift=True), print)
    silent.first = (0.0, 1.0)
    assert silent.after(9, rewards(9.0, 1.0)) == 9.0


def test_a_rank_that_waits_for_rows_through_three_windows_is_named_once() -> None:
    said: list[str] = []
    stalls = DataStalls(TrainConfig(prefetch=7), said.append)
    for step, share in enumerate([0.6, 0.6, 0.5, 0.6, 0.6]):
        stalls.after(step, 3, share)
    assert said == []
    for step in (5, 6):
        stalls.after(step, 3, 0.62)
    [text] = said
    assert text.startswith("step 5: rank 3 waits for its rows 62% of the time: raise train.loader_workers (now 0)")
    assert "train.prefetch (now 7)" in text


def test_memory_that_ran_out_stands_beside_the_plan() -> None:
    config = TrainConfig(num_workers=8)
    planned = check_fits(config, GPUS["h200-141gb"], backbone=config_of_shape("3b"))
    text = str(explain_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"), None, config, CPU, planned))
    assert f"; the plan was {planned.needed / 1e9:.1f} GB (weights " in text


class Row:
    num_tokens = 8192
    num_patches = 1024


def test_memory_that_ran_out_names_the_row_and_the_knobs() -> None:
    row: Any = Row()
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    text = str(explain_out_of_memory(caught.value, row, TrainConfig(zero=ZeroConfig(stage=2)), CPU, None))
    assert text.startswith("out of memory on a row of 8,192 tokens and 1,024 patches: lower train.token_budget=8192")
    for knob in (
        "train.activation_checkpointing=full",
        "train.zero.stage=2",
        "offload_optimizer=true",
        "basereward plan",
    ):
        assert knob in text
    lean = TrainConfig(
        zero=ZeroConfig(stage=3, offload_optimizer=True), activation_checkpointing="full", token_budget=512
    )
    text = str(explain_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"), None, lean, CPU, None))
    assert text.startswith("out of memory in the optimiser step: take more workers")
    assert explain_out_of_memory(RuntimeError("shape mismatch"), row, lean, CPU, None) is None


def cures_of(config: TrainConfig) -> str:
    text = str(explain_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"), None, config, CPU, None))
    return text.partition("in the optimiser step: ")[2].partition("; `basereward plan`")[0]


def test_memory_that_ran_out_names_what_the_engine_has() -> None:
    def sharded(**zero: Any) -> TrainConfig:
        return TrainConfig(engine="fsdp", num_workers=16, zero=ZeroConfig(**zero))

    assert cures_of(sharded(stage=2)) == "raise train.zero.stage=2, or take more workers"
    assert cures_of(sharded(stage=3)) == "take more workers"
    assert cures_of(sharded(stage=3, reduce="step")) == "set train.zero.reduce=row, or take more workers"
    assert cures_of(sharded(stage=3, shard_size=8, hpz_partition_size=4)) == (
        "set train.zero.shard_size=0 (it is 8), or leave out train.zero.hpz_partition_size=4, or take more workers"
    )
    liger = TrainConfig(paradigm="critic", language_loss="liger", zero=ZeroConfig(stage=2))
    assert cures_of(liger) == "set train.zero.offload_optimizer=true, or take more workers"


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA` to ..."),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_memory_that_ran_out_elsewhere_is_told_alike(error: Exception) -> None:
    assert str(explain_out_of_memory(error, None, TrainConfig(), CPU, None)).startswith(
        "out of memory in the optimiser"
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"health": HealthConfig(max_skipped_steps=-1)}, r"train\.health\.max_skipped_steps=-1"),
        ({"health": HealthConfig(data_wait=0.0)}, r"train\.health\.data_wait=0\.0 must be above 0"),
        ({"profile": ProfileConfig(steps=[0])}, r"train\.profile\.steps\.0=0 must be at least 1: steps are"),
        ({"profile": ProfileConfig(steps=[1], ranks=[])}, r"train\.profile\.ranks is empty"),
        ({"profile": ProfileConfig(steps=[1], ranks=[2])}, r"train\.profile\.ranks=\[2\]: ranks are 0 to 1"),
    ],
)
def test_what_cannot_be_looked_at_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        check_train_config(TrainConfig(**changes))
