"""Groups of weights, stages, offload and the checks of a step, on two real ranks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from distributed_ranks import run_ranks
from loader_toys import ToyComparisons
from sharding import begin, sharded_by
from toys import toy_comparison, toy_image, toy_reward_model

from data_pipeline.errors import RunError
from rm_core.batches.loader import PackLoader
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.config import ObjectiveConfig
from rm_core.packing.plan import PackBudget, Plan, Stage, StagedPlan
from rm_core.train_config.config import HealthConfig, OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.train_config.parameter_groups import freeze, rate_of_stage
from rm_core.train_config.weights import GroupConfig, StageConfig, WeightsConfig
from rm_core.training.checkpointing import Checkpointing, identity_of
from rm_core.training.trainer import Hooks, Trainer
from rm_core.training.watchdog import Watchdog

DATA = ToyComparisons([toy_comparison(i, images=(toy_image(i),) if i % 2 else (), ranks=(0, 1, 1)) for i in range(8)])
RATE = 1e-2
BASE = TrainConfig(
    precision="fp32", optimizer=OptimizerConfig(learning_rate=RATE, warmup_ratio=0.0, final_ratio=1.0), log_every=1
)
FROZEN = WeightsConfig(
    vision=GroupConfig(train="frozen"),
    embeddings=GroupConfig(train="frozen"),
    merger=GroupConfig(learning_rate=RATE / 10),
)
STAGES = [StageConfig(only="images", steps=1, held=["language"]), StageConfig(only="text", steps=1, rate=0.5)]
CASES: dict[str, TrainConfig] = {
    "plain": BASE,
    "frozen": replace(BASE, weights=FROZEN, zero=ZeroConfig(stage=2)),
    "frozen at stage 3": replace(BASE, weights=FROZEN, zero=ZeroConfig(stage=3)),
    "frozen under fsdp": replace(BASE, weights=FROZEN, **sharded_by("fsdp-2")),
    "frozen under fsdp at stage 3": replace(BASE, weights=FROZEN, **sharded_by("fsdp-3")),
    "stages": replace(BASE, stages=STAGES),
    "stages under fsdp": replace(BASE, stages=STAGES, **sharded_by("fsdp-3")),
    "offloaded optimiser": replace(BASE, zero=ZeroConfig(stage=2, offload_optimizer=True)),
    "offloaded all": replace(BASE, zero=ZeroConfig(stage=3, offload_optimizer=True, offload_parameters=True)),
    "every term": replace(
        BASE, objective=ObjectiveConfig(zero_coefficient=0.1, l2_coefficient=0.1, batch_zero_coefficient=0.1)
    ),
}


def staged_plan(config: TrainConfig) -> StagedPlan:
    table = DATA.table()
    shown = {"all": np.ones(8, dtype=bool), "images": table.has_images, "text": ~table.has_images}
    stages = []
    for stage in config.stages or [StageConfig(steps=2)]:
        chosen = shown[stage.only]
        plan = Plan(
            table.where(chosen), seed=0, global_batch=4, num_steps=stage.steps or 2,
            budget=PackBudget(tokens=70, patches=64),
        )  # fmt: skip
        stages.append(Stage(stage.name, plan, np.flatnonzero(chosen)))
    return StagedPlan(stages)


def train(config: TrainConfig, model: RewardModel, folder: str) -> dict[str, Any]:
    """Two steps on this rank: weights before, after each step, and metrics; or what stopped them."""
    config = replace(config, checkpoint_every=1, output=folder, cache_dir=folder)
    freeze(model, config, "qwen2_5_vl")
    states = [{name: value.detach().clone() for name, value in model.named_parameters()}]
    plan, points = staged_plan(config), []
    identity = identity_of(model, "toys")
    engine = begin(model, config, rate_of_stage(config, plan))
    loader = PackLoader(
        DATA, DATA.table(), plan, rank=engine.world_rank, world_size=engine.world_size,
        row_format=model.row_format, prefetch=1,
    )  # fmt: skip

    def before_save() -> None:
        states.append(dict(engine.weights()))

    def log(_step: int, metrics: Mapping[str, float]) -> None:
        points.append(dict(metrics))

    hooks = Hooks(begin=lambda steps: None, log=log, before_save=before_save, stop=lambda: False, note=print)
    checkpoints = Checkpointing(engine, config, identity, print)
    model.train()
    with Watchdog(model, timeout_s=0, rank=engine.world_rank, world_size=2, report=print) as watchdog:
        trainer = Trainer(
            engine, model, loader, config, hooks, checkpoints, num_steps=plan.num_steps, watchdog=watchdog
        )
        try:
            trainer.run()
        except RunError as error:
            return {"error": str(error)}
    return {"states": states, "points": points}


def train_all(folder: str) -> dict[str, dict[str, Any]]:
    found = {name: train(config, toy_reward_model(), f"{folder}/{name}") for name, config in CASES.items()}
    wrong = toy_reward_model()
    wrong.family.decoder(wrong.backbone).layers[1].mlp.down_proj.weight.data[0, 0] = float("nan")
    at_once = replace(BASE, health=HealthConfig(max_skipped_steps=0))
    found["not finite"] = train(at_once, wrong, f"{folder}/wrong")
    other = toy_reward_model()
    take = other.work.take
    other.work.take = lambda: replace(take(), kernel="flex")  # type: ignore[method-assign]
    found["other kernel"] = train(BASE, other, f"{folder}/other")
    lost = toy_reward_model()
    lost.work.end = lambda **_: None  # type: ignore[method-assign]
    found["uncounted"] = train(BASE, lost, f"{folder}/lost")
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("weights")
    return run_ranks(train_all, 2, folder, str(folder))


def moved(states: list[dict[str, torch.Tensor]], step: int) -> dict[str, bool]:
    """Of every group, whether its weights differ after `step` steps from those before that step."""
    found: dict[str, bool] = {}
    for name, before in states[step - 1].items():
        changed = not torch.equal(before, states[step][name])
        assert found.setdefault(group_of(name), changed) == changed, name
    return found


@pytest.mark.parametrize("case", [name for name in CASES if name.startswith("frozen")])
def test_frozen_groups_stand_still_and_others_move(case: str, ranks: list[Any]) -> None:
    states = ranks[0][case]["states"]
    for step in (1, 2):
        assert moved(states, step) == {
            "vision": False, "embeddings": False, "merger": True, "language": True, "head": True
        }  # fmt: skip
    point = ranks[0][case]["points"][0]
    rates = {name.removeprefix("train/learning_rate_"): value for name, value in point.items() if "rate_" in name}
    assert rates == pytest.approx({"merger": RATE / 10, "language": RATE, "head": RATE})


@pytest.mark.parametrize("case", ["stages", "stages under fsdp"])
def test_stages_hold_groups_and_show_their_own_data(case: str, ranks: list[Any]) -> None:
    states, points = (ranks[0][case][key] for key in ("states", "points"))
    assert moved(states, 1) == {"vision": True, "embeddings": True, "merger": True, "language": False, "head": True}
    second = moved(states, 2)
    assert second["language"] and second["head"] and second["embeddings"]
    assert points[0]["system/patches_per_s"] > 0 == points[1]["system/patches_per_s"]
    assert points[1]["train/learning_rate"] == pytest.approx(RATE / 2)


@pytest.mark.parametrize("case", ["offloaded optimiser", "offloaded all"])
def test_offload_gives_the_same_training(case: str, ranks: list[Any]) -> None:
    plain, offloaded = ranks[0]["plain"]["states"][-1], ranks[0][case]["states"][-1]
    for name, value in plain.items():
        # Adam turns the rounding of a gradient near 0 into up to 3e-5 of a step of 1e-2.
        torch.testing.assert_close(offloaded[name], value, rtol=1e-3, atol=1e-4, msg=name)


def test_every_term_is_logged_and_they_add_up(ranks: list[Any]) -> None:
    point = ranks[0]["every term"]["points"][0]
    terms = [value for name, value in point.items() if name.startswith("train/loss_")]
    assert len(terms) == 4 and point["train/loss"] == pytest.approx(sum(terms))
    assert point["system/peak_memory_gb"] > 0.05


def test_numbers_that_are_not_finite_name_their_comparisons(ranks: list[Any]) -> None:
    for found in ranks:
        assert "loss sums {'rank': nan}" in found["not finite"]["error"]
        assert found["not finite"]["error"].count("toy-") == 4


def test_another_kernel_or_unseen_work_stops_the_training(ranks: list[Any]) -> None:
    for found in ranks:
        assert "train.attention chose 'sdpa', and another kernel ran on 2 ranks" in found["other kernel"]["error"]
        assert "done_tokens, 0 were processed" in found["uncounted"]["error"]
