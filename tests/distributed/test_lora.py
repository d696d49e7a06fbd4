"""Adapters at every stage of both engines: what trains, what is exported, and what comes back from a checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import RunsOfCases, with_drills
from kept_states import keep, restore
from sharding import How, begin, sharded_by
from toys import toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import PackedBatch, collate
from rm_core.model.config import LoraConfig
from rm_core.model.lora import add_adapters, merged
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.pairwise import win_cost
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.train_config.parameter_groups import freeze
from rm_core.train_config.weights import GroupConfig, WeightsConfig
from rm_core.training.engines.interface import Engine

CASES: list[tuple[How, str]] = [
    (how, precision) for how in (1, 2, 3, "fsdp-1", "fsdp-2", "fsdp-3") for precision in ("fp32", "bf16")
]
QUICK: list[tuple[How, str]] = [(3, "bf16"), ("fsdp-3", "bf16")]
ADAPTED = {"vision", "merger", "language"}
LORA = LoraConfig(rank=4, alpha=8.0)
WEIGHTS = WeightsConfig(
    vision=GroupConfig(train="lora"),
    merger=GroupConfig(train="lora"),
    language=GroupConfig(train="lora"),
    embeddings=GroupConfig(train="frozen"),
)


def row(model: RewardModel, rank: int) -> PackedBatch:
    items = [toy_comparison(10 * rank + seed, images=(toy_image(seed),), ranks=(0, 1, 1)) for seed in range(2)]
    return collate(items, row_format=model.row_format)


def start(how: How, precision: str, seed: int) -> tuple[RewardModel, Engine]:
    """A model of the same base weights always, and adapters of `seed`."""
    model = toy_reward_model()
    if precision == "bf16":
        model.backbone.to(torch.bfloat16)
    add_adapters(model, ADAPTED, LORA, seed)
    optimizer = OptimizerConfig(learning_rate=1e-2, weight_decay=0.1)
    config = TrainConfig(precision=precision, optimizer=optimizer, weights=WEIGHTS, lora=LORA, **sharded_by(how))
    freeze(model, config, model.family.model_type)
    return model, begin(model, config)


def steps(model: RewardModel, engine: Engine, count: int) -> list[float]:
    """Losses of this rank."""
    model.train()
    losses = []
    for _ in range(count):
        batch = row(model, engine.world_rank)
        loss = win_cost(engine.forward(batch), *batch.labels.pairs).sum()
        engine.backward(loss)
        engine.step()
        losses.append(float(loss.detach()))
    return losses


def rewards(model: RewardModel, run: Any) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        output: torch.Tensor = run(row(model, 0))
    return output


def merged_rewards(engine: Engine) -> torch.Tensor | None:
    """Of a plain model with the exported weights, on world rank 0."""
    weights = dict(merged(engine.weights(), LORA))
    if engine.world_rank != 0:
        return None
    plain = toy_reward_model(seed=7).to(weights["backbone.language_model.norm.weight"].dtype)
    plain.load_state_dict(weights, strict=True)
    return rewards(plain, plain)


def train(how: How, precision: str, folder: str) -> dict[str, Any]:
    """Two steps, a checkpoint, two more steps; and the last two again by an engine that loads the checkpoint."""
    model, engine = start(how, precision, seed=0)
    found: dict[str, Any] = {"before": dict(engine.weights()), "first": rewards(model, engine.forward)}
    steps(model, engine, 2)
    keep(engine, folder)
    found["losses"] = steps(model, engine, 2)
    found |= {"after": dict(engine.weights()), "rewards": rewards(model, engine.forward)}
    found["merged"] = merged_rewards(engine)
    model, engine = start(how, precision, seed=1)
    found["other"] = dict(engine.weights())
    restore(engine, folder)
    found["resumed_losses"] = steps(model, engine, 2)
    return found | {"resumed": dict(engine.weights())}


def train_all(cases: list[tuple[How, str]], folder: str) -> dict[tuple[How, str], dict[str, Any]]:
    return {case: train(*case, f"{folder}/{case[0]}-{case[1]}") for case in cases}


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> RunsOfCases:
    folder: Path = tmp_path_factory.mktemp("lora")
    return RunsOfCases(train_all, CASES, QUICK, folder, str(folder))


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_only_adapters_and_the_head_move(how: How, precision: str, ranks: Any) -> None:
    run = ranks[how, precision][0]
    assert sum(".lora_" in name for name in run["before"]) > 40
    for name, before in run["before"].items():
        trains = ".lora_" in name or name.startswith("head.")
        assert torch.equal(run["after"][name], before) != trains, name


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_ranks_start_from_the_plain_model_and_stay_alike(how: How, precision: str, ranks: Any) -> None:
    first, second = ranks[how, precision]
    plain = toy_reward_model().to(torch.bfloat16 if precision == "bf16" else torch.float32)
    torch.testing.assert_close(first["first"], rewards(plain, plain), rtol=1e-5, atol=1e-5)
    assert torch.equal(first["rewards"], second["rewards"])


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_the_export_scores_as_the_engine_does(how: How, precision: str, ranks: Any) -> None:
    run = ranks[how, precision][0]
    assert (run["rewards"] - run["first"]).abs().max() > 0.5
    # In bf16 the sum of W and its adapter is rounded once more, to 8 bits.
    tolerance = 1e-5 if precision == "fp32" else 0.05
    torch.testing.assert_close(run["merged"], run["rewards"], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_resuming_is_bit_for_bit(how: How, precision: str, ranks: Any) -> None:
    for rank in ranks[how, precision]:
        assert rank["resumed_losses"] == rank["losses"]
    run = ranks[how, precision][0]
    different = [name for name, value in run["other"].items() if not torch.equal(value, run["before"][name])]
    assert different and all(".lora_A." in name for name in different)
    for name, value in run["after"].items():
        assert torch.equal(run["resumed"][name], value), name
