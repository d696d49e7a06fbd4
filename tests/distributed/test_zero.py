"""Every stage of both engines trains, resumes and matches one process, on data that mixes images and text."""

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import RunsOfCases, run_ranks, with_drills
from loader_toys import ToyComparisons
from sharding import How, begin, sharded_by
from toys import ROW_FORMAT, row_for, toy_comparison, toy_image, toy_reward_model

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import RecipeError
from rm_core.batches.loader import PackLoader
from rm_core.batches.packed import collate
from rm_core.model.families import group_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.pairwise import win_cost
from rm_core.packing.plan import PackBudget, Plan
from rm_core.packing.sizes import PlanningTable
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.checkpointing import Checkpointing, identity_of
from rm_core.training.engines.zero import deepspeed_config
from rm_core.training.trainer import Hooks, Trainer
from rm_core.training.watchdog import Watchdog

NUM_STEPS, GLOBAL_BATCH, LEARNING_RATE = 4, 5, 1e-2
FSDP = ("fsdp-1", "fsdp-2", "fsdp-2-step", "fsdp-3", "fsdp-3-step")
CASES: list[tuple[How, str]] = [
    (0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"),
    *((how, precision) for how in FSDP for precision in ("fp32", "bf16")),
]  # fmt: skip
QUICK: list[tuple[How, str]] = [(1, "bf16"), (3, "fp32"), ("fsdp-1", "bf16"), ("fsdp-3", "fp32")]


RANKS = [(0, 1), (1, 0, 2), (0, 1, 1, 2), (1, 0)]
ITEMS = [
    toy_comparison(seed, images=(toy_image(seed),) if seed % 2 else (), ranks=RANKS[seed % 4]) for seed in range(12)
]
"""Half with images, K = 2 to 4, with ties."""


def make_plan(table: PlanningTable) -> Plan:
    budget = PackBudget(tokens=60, patches=40)
    return Plan(table, seed=0, global_batch=GLOBAL_BATCH, num_steps=NUM_STEPS, budget=budget)


def config_of(how: How, precision: str, folder: str = "train") -> TrainConfig:
    return TrainConfig(
        precision=precision,
        **sharded_by(how),
        optimizer=OptimizerConfig(learning_rate=LEARNING_RATE, max_grad_norm=0.5),
        log_every=1,
        checkpoint_every=2,
        output=folder,
        cache_dir=folder,
    )


def train(how: How, precision: str, folder: str) -> dict[str, Any]:
    """One training on this rank, from the checkpoint in `folder` on; what rank 0 logged and the final weights."""
    config, data, points = config_of(how, precision, folder), ToyComparisons(ITEMS), []
    model = toy_reward_model()
    identity = identity_of(model, "toys")
    engine = begin(model, config, lambda _, step: 1.0 / (step + 1))
    table = data.table()
    loader = PackLoader(
        data, table, make_plan(table), rank=engine.world_rank, world_size=engine.world_size,
        row_format=ROW_FORMAT, prefetch=2,
    )  # fmt: skip

    def log(step: int, metrics: Mapping[str, float]) -> None:
        points.append((step, dict(metrics)))

    hooks = Hooks(begin=lambda steps: None, log=log, before_save=lambda: None, stop=lambda: False, note=print)
    checkpoints = Checkpointing(engine, config, identity, print)
    with Watchdog(model, timeout_s=0, rank=engine.world_rank, world_size=2, report=print) as watchdog:
        trainer = Trainer(engine, model, loader, config, hooks, checkpoints, num_steps=NUM_STEPS, watchdog=watchdog)
        trainer.resume()
        trainer.run()
    buffers = {str(buffer.dtype) for buffer in model.buffers()}
    return {"points": points, "weights": dict(engine.weights()), "buffers": buffers}


def train_and_resume(
    cases: list[tuple[How, str]], folder: str
) -> dict[tuple[How, str], tuple[dict[str, Any], dict[str, Any]]]:
    """Every case: a whole training, and one that starts at the whole one's checkpoint of step 2."""
    found = {}
    for case in cases:
        whole, resumed = (os.path.join(folder, name, "-".join(map(str, case))) for name in ("whole", "resumed"))
        first = train(*case, whole)
        if dist.get_rank() == 0:
            step = os.path.join("checkpoints", "step-00000002")
            shutil.copytree(os.path.join(whole, step), os.path.join(resumed, step))
        dist.barrier()
        found[case] = (first, train(*case, resumed))
    return found


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("zero")
    return RunsOfCases(train_and_resume, CASES, QUICK, folder, str(folder))


@pytest.fixture(scope="module")
def reference() -> tuple[list[tuple[float, float]], dict[str, torch.Tensor]]:
    """The same steps by PyTorch alone: one process, one Comparison a row, no DeepSpeed."""
    data, model, series = ToyComparisons(ITEMS), toy_reward_model(), []
    plan = make_plan(data.table())
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.0)
    for index in range(NUM_STEPS):
        step = plan.step(index)
        optimizer.param_groups[0]["lr"] = LEARNING_RATE / (index + 1)
        optimizer.zero_grad()
        losses = []
        for row in step.rows:
            batch = collate([ITEMS[row]], row_format=ROW_FORMAT)
            losses.append(win_cost(model(batch), *batch.labels.pairs).sum() / step.counts.pairs)
        torch.stack(losses).sum().backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        series.append((float(torch.stack(losses).sum().detach()), float(norm)))
    return series, {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_training_matches_one_process(how: How, precision: str, runs: Any, reference: Any) -> None:
    whole, _ = runs[how, precision][0]
    series, weights = reference
    tolerance = 1e-4 if precision == "fp32" else 0.15
    for (_, metrics), (loss, norm) in zip(whole["points"], series, strict=True):
        assert metrics["train/loss"] == pytest.approx(loss, rel=tolerance)
        assert metrics["train/grad_norm"] == pytest.approx(norm, rel=tolerance)
    assert whole["weights"].keys() == weights.keys()
    if precision == "fp32":
        for name, value in weights.items():
            torch.testing.assert_close(whole["weights"][name], value, rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_resuming_gives_the_same_losses_and_weights_bit_for_bit(how: How, precision: str, runs: Any) -> None:
    whole, resumed = runs[how, precision][0]
    exact = ["train/loss", "train/accuracy", "train/grad_norm", "train/learning_rate", "train/margin", "train/epoch"]
    assert [step for step, _ in resumed["points"]] == [3, 4]
    for (_, ours), (_, theirs) in zip(resumed["points"], whole["points"][2:], strict=True):
        assert {name: ours[name] for name in exact} == {name: theirs[name] for name in exact}
    for name, value in whole["weights"].items():
        assert torch.equal(resumed["weights"][name], value), name


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_rotary_frequencies_stay_float32(how: How, precision: str, runs: Any) -> None:
    assert runs[how, precision][0][0]["buffers"] == {"torch.float32"}


def mixed_model(model_type: str, *, frozen: bool) -> RewardModel:
    model = toy_reward_model(model_type=model_type)
    for name, weight in model.named_parameters():
        weight.requires_grad_(not (frozen and group_of(name, model_type) == "vision"))
    return model


def mixed_gradient(how: How, model_type: str, frozen: bool) -> dict[str, torch.Tensor]:
    """Rank 0 has images only, rank 1 text only and then an idle turn; the weights after one plain step of size 1."""
    model = mixed_model(model_type, frozen=frozen)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = OptimizerConfig(learning_rate=1.0, max_grad_norm=0.0)
    config = TrainConfig(precision="fp32", optimizer=optimizer, **sharded_by(how))
    engine = begin(model, config, make_optimizer=lambda groups: torch.optim.SGD(groups, lr=1.0))
    turns = mixed_turns()[engine.world_rank]
    for items in turns:
        batch = row_for(model, items)
        costs = win_cost(engine.forward(batch), *batch.labels.pairs)
        engine.backward(costs.sum() * engine.world_size / 7, last_row=items is turns[-1])
    engine.step()
    return {name: before[name] - value for name, value in engine.weights()}


def mixed_turns() -> list[list[list[EncodedComparison]]]:
    items = ITEMS
    images = [item for item in items if item.images][:4]
    text = [item for item in items if not item.images][:2]
    return [[images[:1], images[1:2]], [text, []]]


@pytest.mark.parametrize("how", [3, "fsdp-3", pytest.param("fsdp-1", marks=pytest.mark.drill)])
@pytest.mark.parametrize(
    ("model_type", "frozen"),
    [
        ("qwen2_5_vl", False),
        pytest.param("qwen3_vl", False, marks=pytest.mark.drill),
        pytest.param("internvl", False, marks=pytest.mark.drill),
        pytest.param("qwen3_vl", True, marks=pytest.mark.drill, id="the tower of qwen3_vl frozen, its mergers not"),
    ],
)
def test_images_on_one_rank_and_text_on_the_other_finish_with_the_single_process_gradient(
    how: How, model_type: str, frozen: bool, tmp_path: Path
) -> None:
    found = run_ranks(mixed_gradient, 2, tmp_path, how, model_type, frozen)[0]
    model = mixed_model(model_type, frozen=frozen)
    for turns in mixed_turns():
        for items in turns:
            batch = row_for(model, items)
            (win_cost(model(batch), *batch.labels.pairs).sum() / 7).backward()
    for name, parameter in model.named_parameters():
        expected = parameter.grad if parameter.requires_grad else torch.zeros_like(parameter)
        torch.testing.assert_close(found[name], expected, rtol=1e-4, atol=1e-6, msg=name)


def test_bf16_without_master_weights_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"train\.zero\.stage=0"):
        deepspeed_config(config_of(0, "bf16"))
