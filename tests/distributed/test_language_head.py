"""Costs of target tokens at every stage of both engines: one gradient, and a rank without targets holds up no other."""

from pathlib import Path

import pytest
import torch
from distributed_ranks import run_ranks
from sharding import How, begin, sharded_by
from toys import row_for, toy_comparison, toy_image, toy_reward_model, with_targets

from rm_core.train_config.config import OptimizerConfig, TrainConfig

Case = tuple[How, str]
STAGES: tuple[How, ...] = (0, 1, 2, 3, "fsdp-1", "fsdp-2", "fsdp-3")
CASES: list[Case] = [(how, writes) for how in STAGES for writes in ("own", "tied")]
TURNS = [
    [[with_targets(toy_comparison(0, images=(toy_image(0),)))], [with_targets(toy_comparison(1, ranks=(1, 0, 2)))]],
    [[toy_comparison(2)], []],
]
"""Rank 1 has a row without targets, and then an idle turn."""


def gradients_of(cases: list[Case]) -> dict[Case, dict[str, torch.Tensor]]:
    return {case: _gradient(*case) for case in cases}


def _gradient(how: How, writes: str) -> dict[str, torch.Tensor]:
    """After one plain step of size 1, before minus after."""
    model = toy_reward_model(writes=writes)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    optimizer = OptimizerConfig(learning_rate=1.0, max_grad_norm=0.0)
    config = TrainConfig(precision="fp32", optimizer=optimizer, **sharded_by(how))
    engine = begin(model, config, make_optimizer=lambda groups: torch.optim.SGD(groups, lr=1.0))
    turns = TURNS[engine.world_rank]
    for items in turns:
        rewards, costs = engine.outputs(row_for(model, items))
        assert costs is not None
        engine.backward((rewards.sum() + costs.sum()) * engine.world_size / 10, last_row=items is turns[-1])
    engine.step()
    return {name: before[name] - value for name, value in engine.weights()}


@pytest.mark.drill
def test_the_gradient_is_that_of_one_process(tmp_path: Path) -> None:
    found = run_ranks(gradients_of, 2, tmp_path, CASES)[0]
    for case in CASES:
        model = toy_reward_model(writes=case[1])
        for turns in TURNS:
            for items in turns:
                rewards, costs = model(row_for(model, items))
                ((rewards.sum() + costs.sum()) / 10).backward()
        assert found[case].keys() == dict(model.named_parameters()).keys()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(found[case][name], parameter.grad, rtol=1e-4, atol=1e-6, msg=f"{case} {name}")
