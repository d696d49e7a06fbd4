"""Two pairs of ranks, each with a copy of a sharded model: copies stay alike bit by bit, and one other bit is found."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from sharding import begin, sharded_by
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


def look() -> dict[str, Any]:
    model = toy_reward_model()
    config = TrainConfig(
        num_workers=4, **sharded_by("fsdp-2-row-2"), optimizer=OptimizerConfig(learning_rate=0.01, max_grad_norm=0.1)
    )
    engine = begin(model, config)
    norms = []
    for step in range(3):
        items = [toy_comparison(10 * step + engine.world_rank, images=(toy_image(step),))]
        batch = collate(items, row_format=model.row_format)
        engine.backward(engine.forward(batch).square().mean())
        norms.append(engine.step())
    found: dict[str, Any] = {"norms": norms, "alike": compared(engine), "compared": len(list(engine.replicas()))}
    if engine.world_rank == 3:
        rows = next(rows for name, rows in engine.replicas() if ".layers.1.mlp.up_proj" in name)
        with torch.no_grad():
            rows[0, 0] = torch.nextafter(rows[0, 0], torch.tensor(9.0))
    return found | {"one bit": compared(engine), "parameters": len(list(engine.named_parameters()))}


@pytest.mark.drill
def test_copies_stay_alike_and_a_single_bit_is_found(tmp_path: Path) -> None:
    ranks = run_ranks(look, 4, tmp_path)
    for rank in ranks:
        assert rank["norms"] == ranks[0]["norms"] and min(rank["norms"]) > 0.1, "it is clipped"
        assert rank["compared"] == rank["parameters"] and rank["alike"] == ""
        assert rank["one bit"].startswith(
            "after step 7, weights of language on ranks 0, 1, 2, 3 differ from each other"
        )
