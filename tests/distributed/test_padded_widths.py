"""A vision MLP that computes with a padded width, partitioned by ZeRO-3: the same training, the same checkpoint."""

from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from toys import toy_comparison, toy_image, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.model.config import LoraConfig
from rm_core.model.lora import add_adapters
from rm_core.model.padded_linear import MULTIPLES
from rm_core.objectives.pairwise import win_cost
from rm_core.train_config.config import OptimizerConfig, TrainConfig, ZeroConfig
from rm_core.training.engines import zero as engine_module
from rm_core.training.engines.zero import ZeroEngine, deepspeed_config


def partitioning_all(config: TrainConfig) -> dict[str, Any]:
    """DeepSpeed leaves weights of a toy's size whole on every rank; this partitions them too."""
    made = deepspeed_config(config)
    made["zero_optimization"]["stage3_param_persistence_threshold"] = 0
    return made


def trained(multiple: int, recompute: str, adapters: bool) -> dict[str, Any]:
    """Two steps on this rank with widths of a multiple of `multiple`: weights, and what a checkpoint keeps of them."""
    MULTIPLES["cpu"] = multiple
    engine_module.deepspeed_config = partitioning_all
    model = toy_reward_model().train()
    model.recompute_activations(recompute)
    if adapters:
        add_adapters(model, {"vision"}, LoraConfig(rank=4), seed=0)
    config = TrainConfig(precision="fp32", zero=ZeroConfig(stage=3), optimizer=OptimizerConfig(learning_rate=1e-3))
    engine = ZeroEngine(model, config, lambda part, step: 1.0)
    for step in range(2):
        items = [toy_comparison(10 * step + engine.world_rank, images=(toy_image(step),), ranks=(0, 1, 1))]
        batch = collate(items, row_format=model.row_format)
        engine.backward(win_cost(engine.forward(batch), *batch.labels.pairs).sum())
        engine.step()
    fragments = [(one.name, one.start, one.numel) for one, _ in engine.state.fragments()]
    return {"weights": dict(engine.weights()), "fragments": fragments}


def both(recompute: str, adapters: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    return trained(1, recompute, adapters), trained(128, recompute, adapters)


def cases() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    return [both("none", False), both("full", True)]


@pytest.mark.drill
def test_zero_3_trains_and_keeps_the_same_weights(tmp_path: Path) -> None:
    for found in run_ranks(cases, 2, tmp_path):
        for plain, padded in found:
            assert padded["fragments"] == plain["fragments"]
            torch.testing.assert_close(padded["weights"], plain["weights"], rtol=1e-4, atol=1e-5)
