"""A vision MLP that computes with a padded width, sharded by either engine: the same training, the same checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from sharding import How, begin, sharded_by
from toys import toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.model.config import LoraConfig
from rm_core.model.lora import add_adapters
from rm_core.model.padded_linear import MULTIPLES
from rm_core.objectives.pairwise import win_cost
from rm_core.train_config.config import OptimizerConfig, TrainConfig
from rm_core.training.engines import zero as engine_module
from rm_core.training.engines.zero import deepspeed_config


def partitioning_all(config: TrainConfig) -> dict[str, Any]:
    """DeepSpeed leaves weights of a toy's size whole on every rank; this partitions them too."""
    made = deepspeed_config(config)
    made["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    return made


def trained(how: How, multiple: int, recompute: str, adapters: bool) -> dict[str, Any]:
    """Two steps on this rank with widths of a multiple of `multiple`: weights, and what a checkpoint keeps of them."""
    MULTIPLES["cpu"] = multiple
    engine_module.deepspeed_config = partitioning_all
    model = toy_reward_model().train()
    model.recompute_activations(recompute)
    if adapters:
        add_adapters(model, {"vision"}, LoraConfig(rank=4), seed=0)
    config = TrainConfig(precision="fp32", optimizer=OptimizerConfig(learning_rate=1e-3), **sharded_by(how))
    engine = begin(model, config)
    for step in range(2):
        items = [toy_comparison(10 * step + engine.world_rank, images=(toy_image(step),), ranks=(0, 1, 1))]
        batch = collate(items, row_format=model.row_format)
        engine.backward(win_cost(engine.forward(batch), *batch.labels.pairs).sum())
        engine.step()
    fragments = [(one.name, one.start, one.numel) for one, _ in engine.state.fragments()]
    return {"weights": dict(engine.weights()), "fragments": fragments}


def both(how: How, recompute: str, adapters: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    return trained(how, 1, recompute, adapters), trained(how, 128, recompute, adapters)


def cases() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [both(how, *case) for how in (3, "fsdp-3") for case in (("none", False), ("full", True))]


@pytest.mark.drill
def test_sharded_weights_train_and_are_kept_the_same(tmp_path: Path) -> None:
    for found in run_ranks(cases, 2, tmp_path):
        for plain, padded in found:
            assert padded["fragments"] == plain["fragments"]
            torch.testing.assert_close(padded["weights"], plain["weights"], rtol=1e-4, atol=1e-5)
