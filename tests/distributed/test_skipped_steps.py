"""A gradient that is not finite leaves the engine as it was: weights, moments and the steps after it.

The reference takes the same step with a sane gradient, and is put back afterwards as from a checkpoint.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import RunsOfCases, with_drills
from sharding import How, begin, sharded_by
from torch import Tensor
from torch.nn.functional import softplus
from toys import ROW_FORMAT, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import PackedBatch, collate
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.engines.interface import Engine

Case = tuple[How, str, bool]
CASES: list[Case] = [(0, "fp32", False)]
CASES += [(stage, precision, kept) for stage in (1, 2, 3) for precision in ("fp32", "bf16") for kept in (False, True)]
CASES += [(how, precision, False) for how in ("fsdp-1", "fsdp-2", "fsdp-3") for precision in ("fp32", "bf16")]
QUICK: list[Case] = [(2, "bf16", True)]
"""How it is sharded, precision, and whether the optimiser is offloaded."""
IMAGES = [(True, False), (True, False), (False, False), (False, True)]
"""Of each step, which of a rank's rows have an image."""
BAD = 1
"""Index of the step whose gradient is not finite on rank 1."""


def rows(step: int) -> Iterator[PackedBatch]:
    """Other rows on each rank and in each step."""
    for place, image in enumerate(IMAGES[step]):
        seed = 100 * step + 10 * place + dist.get_rank()
        shown = (toy_image(seed),) if image else ()
        yield collate([toy_comparison(seed, images=shown, ranks=(1, 0))], row_format=ROW_FORMAT)


def state_of(engine: Engine) -> dict[tuple[str, str], tuple[int, Tensor]]:
    """(parameter, kind) -> where this rank's share starts, and a copy of it."""
    return {
        (fragment.name, kind): (fragment.start, value.clone())
        for fragment, values in engine.state.fragments()
        for kind, value in values.items()
    }


def put_back(engine: Engine, kept: dict[tuple[str, str], tuple[int, Tensor]], updates: int) -> None:
    """As from a checkpoint of this number of ranks; at stage 0, where all ranks read the whole, each asks for it."""
    shares: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(shares, kept)

    def read(kind: str, name: str, start: int, numel: int) -> Tensor:
        pieces = sorted((share[name, kind] for share in shares if (name, kind) in share), key=lambda piece: piece[0])
        return torch.cat([values for _, values in pieces])[start : start + numel]

    engine.state.fill(read, sorted({kind for _, kind in kept}), updates)
    engine.state.refresh()


def train(case: Case, *, planted: bool) -> dict[str, Any]:
    """All steps; the bad one with a NaN, or sane and taken back."""
    how, precision, offload = case
    config = TrainConfig(
        precision=precision, **sharded_by(how, offload_optimizer=offload),
        optimizer=OptimizerConfig(learning_rate=1e-2, max_grad_norm=0.5),
    )  # fmt: skip
    engine = begin(toy_reward_model(), config, lambda _, step: 1.0 / (step + 1))
    norms, updates = [], []
    for step in range(len(IMAGES)):
        kept, before = state_of(engine), engine.state.num_updates()
        for place, batch in enumerate(rows(step)):
            rewards = engine.forward(batch)
            poison = float("nan") if planted and step == BAD and dist.get_rank() == 1 else 1.0
            engine.backward(softplus(rewards[0] - rewards[1]) * poison, last_row=place == len(IMAGES[step]) - 1)
        norms.append(engine.step())
        if step == BAD and not planted:
            put_back(engine, kept, before)
        updates.append(engine.state.num_updates())
    return {"norms": norms, "updates": updates, "steps": engine.num_steps, "state": state_of(engine)}


def train_both(cases: list[Case]) -> dict[Case, dict[str, Any]]:
    return {case: {"planted": train(case, planted=True), "left out": train(case, planted=False)} for case in cases}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> RunsOfCases:
    return RunsOfCases(train_both, CASES, QUICK, Path(tmp_path_factory.mktemp("skipped")))


@pytest.mark.parametrize(("how", "precision", "offload"), with_drills(CASES, QUICK))
def test_all_is_as_if_the_step_was_left_out(how: How, precision: str, offload: bool, runs: RunsOfCases) -> None:
    for found in runs[how, precision, offload]:
        planted, reference = found["planted"], found["left out"]
        assert planted["norms"][BAD] != pytest.approx(reference["norms"][BAD], nan_ok=True)
        for run in (planted, reference):
            del run["norms"][BAD]
        assert planted["norms"] == reference["norms"], "the steps after it begin with an empty gradient"
        assert planted["updates"] == reference["updates"] == [1, 1, 2, 3], "Adam's bias correction"
        assert planted["steps"] == reference["steps"] == len(IMAGES), "the schedule goes on"
        for key, (start, value) in reference["state"].items():
            assert planted["state"][key][0] == start and torch.equal(planted["state"][key][1], value), key
