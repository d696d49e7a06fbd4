"""Two pairs of ranks, each with a copy of a sharded model: copies stay alike bit by bit, and one other bit is found."""

import re
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from sharding import How, begin, sharded_by
from torch.distributed import distributed_c10d
from toys import toy_comparison, toy_image, toy_reward_model

from data_pipeline.errors import RunError
from rm_core.batches.packed import collate
from rm_core.model.families import group_of
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.engines.interface import Engine
from rm_core.training.health import check_agreement


def compared(engine: Engine) -> str:
    """What a look at all copies says; "" where they are alike."""
    group = partial(group_of, model_type="qwen2_5_vl")
    try:
        check_agreement(7, engine.replicas(), group, {"rates": 0.1}, together=engine.copy_group)
    except RunError as error:
        return str(error)
    return ""


def groups_of_second_copies() -> tuple[int, int]:
    """Groups of ranks that two engines make, the second with second copies of weights."""
    made = []
    for more in ({}, {"hpz_partition_size": 2}):
        before = len(distributed_c10d._world.pg_map)
        begin(toy_reward_model(), TrainConfig(num_workers=4, **sharded_by("fsdp-3", **more)))
        made.append(len(distributed_c10d._world.pg_map) - before)
    return made[0], made[1]


def trained(how: How) -> tuple[Engine, list[float]]:
    """An engine after three steps, and the norms of their gradients."""
    model = toy_reward_model()
    optimizer = OptimizerConfig(learning_rate=0.01, max_grad_norm=0.1)
    engine = begin(model, TrainConfig(precision="fp32", num_workers=4, optimizer=optimizer, **sharded_by(how)))
    norms = []
    for step in range(3):
        items = [toy_comparison(10 * step + engine.world_rank, images=(toy_image(step),))]
        engine.backward(engine.forward(collate(items, row_format=model.row_format)).square().mean())
        norms.append(engine.step())
    return engine, norms


def look() -> dict[str, Any]:
    engine, norms = trained("fsdp-2-row-2")
    found: dict[str, Any] = {"norms": norms, "without copies": trained("fsdp-2")[1], "alike": compared(engine)}
    found["compared"] = [name for name, _ in engine.replicas()]
    if engine.world_rank == 3:
        rows = next(rows for name, rows in engine.replicas() if ".layers.1.mlp.up_proj" in name)
        with torch.no_grad():
            rows[0, 0] = torch.nextafter(rows[0, 0], torch.tensor(9.0))
    return found | {"one bit": compared(engine)}


@pytest.mark.drill
def test_copies_stay_alike_and_a_single_bit_is_found(tmp_path: Path) -> None:
    ranks = run_ranks(look, 4, tmp_path)
    for rank in ranks:
        assert rank["norms"] == ranks[0]["norms"] and min(rank["norms"]) > 0.1, "it is clipped"
        assert rank["norms"] == pytest.approx(rank["without copies"], rel=1e-4), "of one copy's gradient"
        assert rank["compared"] == [name for name, _ in toy_reward_model().named_parameters()]
        assert rank["alike"] == ""
        assert rank["one bit"].startswith(
            "after step 7, weights of language on ranks 0, 1, 2, 3 differ from each other"
        )


@pytest.mark.drill
def test_second_copies_of_all_units_have_the_same_groups_of_ranks(tmp_path: Path) -> None:
    """On GPUs each group has a communicator, which takes memory: a model has a unit a layer."""
    assert run_ranks(groups_of_second_copies, 4, tmp_path) == [(0, 2)] * 4


def refused(size: int, second: int) -> str:
    try:
        begin(
            toy_reward_model(),
            TrainConfig(num_workers=8, **sharded_by(f"fsdp-3-row-{size}", hpz_partition_size=second)),
        )
    except RunError as error:
        return str(error)
    return ""


def test_a_group_that_is_not_of_whole_copies_is_refused(tmp_path: Path) -> None:
    """As where another number of workers came than the recipe says."""
    for case, said in (
        ((4, 1), r"3 workers are no groups of train\.zero\.shard_size=4"),
        ((0, 2), r"3 .*\.hpz_partition_size=2"),
    ):
        for found in run_ranks(refused, 3, tmp_path, *case):
            assert re.match(said, found), found
