"""What two real ranks make of numbers that are not finite, of weights that differ, and what they say of themselves."""

import gzip
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import run_ranks
from prepared_toys import mixed_toy, write_toy
from sharding import How, sharded_by
from torch import Tensor

from data_pipeline.config import PreprocessConfig
from data_pipeline.errors import RunError
from rm_core.model.config import InitModelConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.initialise import initialise_model
from rm_core.train_config.config import HealthConfig, OptimizerConfig, ProfileConfig, TrainConfig, ZeroConfig
from rm_core.training import worker
from rm_core.training.engines.fsdp import FsdpEngine
from rm_core.training.engines.interface import Engine
from rm_core.training.engines.zero import ZeroEngine
from rm_core.training.health.agreement import _odd_ones
from rm_core.training.trainer import Hooks

Sharded = tuple[str, How]
QUICK: list[Sharded] = [("fp32", 3), ("bf16", "fsdp-2")]
OTHERS: list[Sharded] = [
    ("fp32", 0), ("fp32", 1), ("fp32", 2), ("bf16", 1), ("bf16", 2), ("bf16", 3),
    ("fp32", "fsdp-1"), ("fp32", "fsdp-3"), ("bf16", "fsdp-3-step"),
]  # fmt: skip
MARGIN: Sharded = ("fp32", 3)
WHAT = ("loss", "gradient")
"""What is not finite: a reward, and so the loss; or, where rewards are sane, their gradient."""
STEPS = 4
BAD = 2
"""The step, counted from 1, in which a NaN is planted."""


def config_of(folder: Path, **changes: Any) -> TrainConfig:
    optimizer = OptimizerConfig(learning_rate=1e-2, warmup_ratio=0.0)
    base: dict[str, Any] = {"global_batch": 4, "max_steps": STEPS, "token_budget": 1500, "precision": "fp32"}
    base |= {"optimizer": optimizer, "log_every": 1, "checkpoint_every": 100, "attention": "sdpa"}
    return TrainConfig(**base | {"model": str(folder / "model"), "data": str(folder / "shards")} | changes)


def train(config: TrainConfig, output: Path) -> dict[str, Any]:
    """What this rank logged, noted and handed out, or its error; the weights it ended with, by their sums."""
    found: dict[str, Any] = {"points": [], "notes": [], "traces": []}

    def log(_step: int, metrics: Mapping[str, float]) -> None:
        found["points"].append(dict(metrics))

    def artifact(path: str, _folder: str) -> None:
        trace = json.loads(gzip.decompress(Path(path).read_bytes()))
        found["traces"].append((Path(path).name, len(trace["traceEvents"])))

    hooks = Hooks(
        begin=lambda steps: None, log=log, before_save=lambda: None, stop=lambda: False,
        note=found["notes"].append, artifact=artifact,
    )  # fmt: skip
    config = replace(config, output=str(output), cache_dir=str(output / "cache"))
    with kept_weights(found), pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "export", lambda *_, **__: None)
        try:
            worker.train_rank(config, hooks, export_to=str(output / "export"), lineage={})
        except RunError as error:
            found["error"] = str(error)
    found["compiler"] = "torch._inductor.compile_fx" in sys.modules
    return found


@contextmanager
def with_steps(change: Callable[[Engine, Callable[[], float]], float]) -> Iterator[None]:
    """`change` gets each engine, and its step to take."""
    with pytest.MonkeyPatch.context() as patch:
        for kind in (ZeroEngine, FsdpEngine):
            patch.setattr(kind, "step", lambda engine, step=kind.step: change(engine, partial(step, engine)))
        yield


@contextmanager
def kept_weights(found: dict[str, Any]) -> Iterator[None]:
    """Keep the weights after each step, on rank 0."""

    def stepping(engine: Engine, step: Callable[[], float]) -> float:
        norm = step()
        found.setdefault("weights", []).append({name: value.float() for name, value in engine.weights()})
        return norm

    with with_steps(stepping):
        yield


@contextmanager
def planted(change: Callable[[Tensor, Any], Tensor], at: Callable[[int], bool]) -> Iterator[None]:
    """In steps for which `at` holds, rank 1 gets the rewards that `change` makes of them."""
    forward = RewardModel.forward
    taken = [0]

    def changed(model: RewardModel, batch: Any) -> Tensor:
        rewards = forward(model, batch)
        return change(rewards, batch) if dist.get_rank() == 1 and at(taken[0] + 1) else rewards

    def counted(_engine: Engine, step: Callable[[], float]) -> float:
        taken[0] += 1
        return step()

    with pytest.MonkeyPatch.context() as patch, with_steps(counted):
        patch.setattr(RewardModel, "forward", changed)
        yield


class Poison(torch.autograd.Function):
    """Leaves values alone and makes their gradient infinite."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0] + float("inf")


def poisoned(rewards: Tensor, _batch: Any) -> Tensor:
    result: Tensor = Poison.apply(rewards)
    return result


def nan(rewards: Tensor, _batch: Any) -> Tensor:
    return rewards * float("nan")


def endless(rewards: Tensor, batch: Any) -> Tensor:
    """A margin of minus infinity: its loss is infinite, the gradient of that is -1."""
    shift = torch.zeros_like(rewards)
    shift[batch.labels.pairs[0][0]] = float("-inf")
    return rewards + shift


def differ(folder: Path) -> dict[str, Any]:
    """Rank 1 changes one weight behind the engine's back, after the first step."""

    def stepping(engine: Engine, step: Callable[[], float]) -> float:
        norm = step()
        if dist.get_rank() == 1:
            next(value for name, value in engine.replicas() if "visual.patch_embed" in name).data.view(-1)[7] += 1e-3
        return norm

    with with_steps(stepping):
        return train(config_of(folder, health=HealthConfig(compare_ranks_every=2)), folder / "differ")


def skip(path: str, engines: list[Sharded]) -> dict[Any, dict[str, Any]]:
    folder = Path(path)
    found: dict[Any, dict[str, Any]] = {}
    for precision, how in engines:
        config = config_of(folder, precision=precision, **sharded_by(how))
        for name, change in (("loss", nan), ("gradient", poisoned)):
            with planted(change, lambda step: step == BAD):
                found[precision, how, name] = train(config, folder / f"{precision}{how}{name}")
    return found


def train_all(path: str) -> dict[Any, dict[str, Any]]:
    folder = Path(path)
    found = skip(path, QUICK)
    with planted(nan, lambda step: step >= BAD):
        limited = config_of(folder, health=HealthConfig(max_skipped_steps=1))
        found["row"] = train(limited, folder / "row")
    with planted(endless, lambda step: step == BAD):
        found[*MARGIN, "margin"] = train(config_of(folder, zero=ZeroConfig(stage=3)), folder / "margin")
    found["differ"] = differ(folder)
    found["traced"] = train(config_of(folder, profile=ProfileConfig(steps=[2], ranks=[1])), folder / "traced")
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("health")
    write_toy(path / "shards", mixed_toy(30))
    model = InitModelConfig(output=str(path / "model"), tokenizer=str(path / "toy-model"))
    initialise_model(model, PreprocessConfig(), train_tokenizer=lambda folder: None)
    return path


@pytest.fixture(scope="module")
def ranks(folder: Path) -> list[dict[Any, dict[str, Any]]]:
    return run_ranks(train_all, 2, folder / "results", str(folder))


@pytest.mark.parametrize("what", WHAT)
@pytest.mark.parametrize("engine", QUICK)
def test_a_step_that_is_not_finite_changes_nothing_and_is_named(ranks: Any, engine: Sharded, what: str) -> None:
    assert_left_out(ranks, engine, what)


def test_an_infinite_loss_with_a_finite_gradient_is_left_out_too(ranks: Any) -> None:
    assert_left_out(ranks, MARGIN, "margin")
    one, other = (ranks[0][(*MARGIN, what)]["weights"][-1] for what in ("loss", "margin"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.drill
def test_a_step_that_is_not_finite_changes_nothing_on_the_other_engines(folder: Path) -> None:
    ranks = run_ranks(skip, 2, folder / "others", str(folder), OTHERS)
    for engine in OTHERS:
        for what in WHAT:
            assert_left_out(ranks, engine, what)
        assert_same_end(ranks, engine)


def assert_left_out(ranks: Any, engine: Sharded, what: str) -> None:
    run = ranks[0][(*engine, what)]
    assert "error" not in run
    before, bad, after = (run["weights"][step] for step in (BAD - 2, BAD - 1, BAD))
    assert all(torch.equal(before[name], bad[name]) for name in before)
    assert any(not torch.equal(bad[name], after[name]) for name in bad)
    assert all(torch.isfinite(value).all() for value in after.values())
    [note] = run["notes"]
    assert f"step {BAD}: loss sums" in note and "the step was left out (1 in a row)" in note
    assert ranks[1][(*engine, what)]["notes"] == [], "world rank 0 speaks for all"
    points = run["points"]
    assert [point["health/skipped_steps"] for point in points] == [0, 1, 0, 0]
    for name in ("train/loss", "train/grad_norm"):
        assert [name in point for point in points] == [True, False, True, True], name
    rates = [point["train/learning_rate"] for point in points]
    assert rates == sorted(rates, reverse=True) and len(set(rates)) == STEPS, "the schedule goes on"


def test_moments_are_those_of_the_other_steps(ranks: Any) -> None:
    """The step after the bad one moves the weights alike whether the bad one was a loss or a gradient."""
    for engine in QUICK:
        assert_same_end(ranks, engine)


def assert_same_end(ranks: Any, engine: Sharded) -> None:
    one, other = (ranks[0][(*engine, what)]["weights"][-1] for what in WHAT)
    assert all(torch.equal(one[name], other[name]) for name in one), engine


def test_a_rank_that_compiles_nothing_loads_no_compiler(ranks: Any) -> None:
    """DeepSpeed would, for an optimiser that nobody asked for."""
    assert [rank[*engine, WHAT[0]]["compiler"] for rank in ranks for engine in QUICK] == [False] * 4


def test_too_many_in_a_row_end_the_training_on_all_ranks(ranks: Any) -> None:
    errors = [rank["row"]["error"] for rank in ranks]
    assert errors[0] == errors[1]
    assert "2 steps in a row, train.health.max_skipped_steps is 1" in errors[0]
    assert f"step {BAD + 1}: " in errors[0] and "by these Comparisons: " in errors[0]


def test_weights_that_differ_are_named_with_the_part(ranks: Any) -> None:
    for rank in ranks:
        error = rank["differ"]["error"]
        assert error.startswith("after step 2, weights of vision on ranks 0, 1 differ from each other"), rank


def test_a_majority_says_which_rank_is_odd() -> None:
    assert _odd_ones([7, 9, 7, 7]).startswith("on rank 1 differ from the other ranks'")
    assert _odd_ones([7, 9, 8, 7, 7]).startswith("on ranks 1, 2 differ from the other ranks'")
    assert _odd_ones([7, 7, 9, 9]).startswith("on ranks 0, 1, 2, 3 differ from each other")
    assert _odd_ones([7, 7]) == ""


def test_a_chosen_step_of_a_chosen_rank_is_traced(ranks: Any) -> None:
    assert ranks[0]["traced"]["traces"] == []
    [(name, events)] = ranks[1]["traced"]["traces"]
    assert name == "step-00000002-rank-00001.json.gz" and events > 100


def test_seconds_of_the_parts_add_up_and_ids_are_of_the_plan(ranks: Any) -> None:
    points = ranks[0][*QUICK[0], "gradient"]["points"]
    for point in points[1:]:
        parts = sum(value for name, value in point.items() if name.startswith("wall/") and "compute" not in name)
        assert parts == pytest.approx(4 / point["system/comparisons_per_s"], rel=0.3), point
        assert point["wall/forward_s"] > 0 and point["wall/backward_s"] > 0 and point["wall/optimiser_s"] > 0
        assert point["system/slowest_rank"] in (0, 1) and "system/mfu" not in point
        assert point["system/tflops_per_worker"] > 0
    other = ranks[0][*MARGIN, "margin"]["points"]
    assert [point["verify/ids_hash"] for point in points] == [point["verify/ids_hash"] for point in other]
    assert len({point["verify/ids_hash"] for point in points}) > 1
    assert all(0 < point["verify/ids_hash"] <= 4 * zlib.crc32(b"") + 4 * 2**32 for point in points)
