"""Weights and moments come back bit for bit on the same ranks; on others, at another stage or engine to rounding."""

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import RunsOfCases, run_ranks, with_drills
from kept_states import keep, restore
from sharding import How, begin, sharded_by
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.checkpoints import CheckpointStore
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.pairwise import win_cost
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.engines.interface import Engine

COMPARISONS = 12
CASES: list[tuple[How, str]] = [
    (0, "fp32"), (1, "fp32"), (2, "fp32"), (3, "fp32"), (1, "bf16"), (2, "bf16"), (3, "bf16"),
    ("fsdp-1", "bf16"), ("fsdp-2", "fp32"), ("fsdp-3", "bf16"),
]  # fmt: skip
QUICK: list[tuple[How, str]] = [(3, "fp32"), ("fsdp-2", "fp32")]
MOVES: list[tuple[tuple[int, How], tuple[int, How]]] = [  # (ranks, how) that wrote -> that read, all in float32
    ((2, 3), (3, 2)), ((2, 2), (1, 3)), ((3, 1), (2, 0)), ((1, 0), (2, 3)), ((4, 3), (2, 3)), ((2, 3), (4, 3)),
    ((2, "fsdp-3"), (3, 2)), ((3, 1), (2, "fsdp-1")), ((3, "fsdp-2"), (4, "fsdp-3-row-2")),
    ((4, "fsdp-1-step-2"), (1, 0)),
]  # fmt: skip


def start(how: How, precision: str, seed: int) -> tuple[RewardModel, Engine]:
    model = toy_reward_model(seed=seed)
    if precision == "bf16":
        model.backbone.to(torch.bfloat16)
    optimizer = OptimizerConfig(learning_rate=1e-3, weight_decay=0.1)
    config = TrainConfig(precision=precision, optimizer=optimizer, **sharded_by(how))
    return model, begin(model, config, lambda part, step: 1 / (step + 1))


def steps(model: RewardModel, engine: Engine, first: int, count: int) -> list[float]:
    """Gradient norms of steps over the same Comparisons, however many ranks share them."""
    model.train()
    norms = []
    for step in range(first, first + count):
        mine = COMPARISONS // engine.world_size
        for turn in range(mine):
            seed = 100 * step + engine.world_rank * mine + turn
            batch = collate([toy_comparison(seed, images=(toy_image(seed),))], row_format=ROW_FORMAT)
            cost = win_cost(engine.forward(batch).float(), *batch.labels.pairs).sum()
            engine.backward(cost * engine.world_size / COMPARISONS, last_row=turn == mine - 1)
        norms.append(engine.step())
    return norms


def write(cases: list[tuple[How, str]], folder: str) -> dict[Any, Any]:
    """Two steps, a checkpoint, two more steps."""
    found = {}
    for how, precision in cases:
        model, engine = start(how, precision, 0)
        steps(model, engine, 0, 2)
        keep(engine, f"{folder}/{how}-{precision}")
        norms = steps(model, engine, 2, 2)
        found[how, precision] = (norms, engine.learning_rates, dict(engine.weights()))
    return found


def read(cases: list[tuple[How, str, str]]) -> dict[Any, Any]:
    """The two steps after the checkpoint, by an engine of other weights that has computed with them."""
    found = {}
    for how, precision, folder in cases:
        model, engine = start(how, precision, 1)
        with torch.no_grad():
            engine.forward(collate([toy_comparison(0)], row_format=ROW_FORMAT))
        restore(engine, folder)
        norms = steps(model, engine, 2, 2)
        found[how, precision] = (norms, engine.learning_rates, dict(engine.weights()))
    return found


def read_same(cases: list[tuple[How, str]], folder: str) -> dict[Any, Any]:
    return read([(how, precision, f"{folder}/{how}-{precision}") for how, precision in cases])


@pytest.fixture(scope="module")
def same(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunsOfCases, RunsOfCases]:
    """What the writing ranks went on to, and what fresh ones did from the checkpoint."""
    folder = tmp_path_factory.mktemp("same")
    written = RunsOfCases(write, CASES, QUICK, folder / "write", str(folder))
    return written, RunsOfCases(read_same, CASES, QUICK, folder / "read", str(folder))


@pytest.mark.parametrize(("how", "precision"), with_drills(CASES, QUICK))
def test_the_same_ranks_repeat_bit_for_bit(same: tuple[RunsOfCases, RunsOfCases], how: How, precision: str) -> None:
    (norms, rates, weights), (norms_again, rates_again, weights_again) = (runs[how, precision][0] for runs in same)
    assert norms == norms_again and rates == rates_again
    assert weights.keys() == weights_again.keys()
    for name, value in weights.items():
        assert torch.equal(value, weights_again[name]), name


@pytest.mark.parametrize(("wrote", "reads"), with_drills(MOVES, [MOVES[0], MOVES[6]]))
def test_other_ranks_and_stages_go_on_to_rounding(
    wrote: tuple[int, How], reads: tuple[int, How], tmp_path: Path
) -> None:
    (ranks, how), (other_ranks, other_how) = wrote, reads
    written = run_ranks(write, ranks, tmp_path / "write", [(how, "fp32")], str(tmp_path))[0]
    case = (other_how, "fp32", f"{tmp_path}/{how}-fp32")
    again = run_ranks(read, other_ranks, tmp_path / "read", [case])[0]
    norms, _, weights = written[how, "fp32"]
    norms_again, _, weights_again = again[other_how, "fp32"]
    assert norms_again == pytest.approx(norms, rel=1e-4)
    for name, value in weights.items():
        # An update is up to 1e-3; rounding changes its direction where a gradient is next to nothing.
        torch.testing.assert_close(weights_again[name], value, rtol=1e-4, atol=1e-5, msg=name)


def covered(how: How, folder: str) -> dict[str, int]:
    """Elements of each parameter that all ranks together have kept, once each."""
    model, engine = start(how, "fp32", 0)
    steps(model, engine, 0, 1)
    keep(engine, folder)
    sizes = {name: getattr(value, "ds_numel", value.numel()) for name, value in model.named_parameters()}
    dist.barrier()
    return sizes


@pytest.mark.parametrize(
    ("ranks", "how"), [(2, 3), (3, "fsdp-3"), pytest.param(4, "fsdp-3-row-2", marks=pytest.mark.drill)]
)
def test_fragments_cover_every_parameter_once(ranks: int, how: How, tmp_path: Path) -> None:
    sizes = run_ranks(covered, ranks, tmp_path / "ranks", how, str(tmp_path / "kept"))[0]
    with CheckpointStore(str(tmp_path / "kept")).open(1, rank=0, copies=str(tmp_path)) as checkpoint:
        assert {name: sum(numel for _, numel, _ in held) for name, held in checkpoint._held.items()} == sizes
        checkpoint.verify()
