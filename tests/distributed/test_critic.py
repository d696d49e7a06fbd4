"""A critic's step has one gradient, however it is split into ranks and rows: that of separate rows in one process."""

from pathlib import Path
from typing import Any

import pytest
import torch
from distributed_ranks import run_ranks
from separate_rows import assert_equal_gradients, gradients, separate_costs, separate_rewards
from sharding import How
from split_steps import step_gradient
from torch import Tensor
from toys import toy_comparison, toy_image, toy_reward_model, with_targets

from rm_core.batches.labels import labels_of
from rm_core.model.reward_model import RewardModel
from rm_core.objectives.config import CriticConfig, ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.training.accumulation import Accumulator
from rm_core.training.engines.interface import Engine

ITEMS = [
    with_targets(toy_comparison(0, ranks=(0, 1, 2, 1, 3))),
    with_targets(toy_comparison(1, images=(toy_image(0, 56, 84),)), part=0.7),
    with_targets(toy_comparison(2, images=(toy_image(1),), ranks=(1, 0, 2))),
    with_targets(toy_comparison(4, ranks=(1, 0), response_images=(toy_image(2), toy_image(9))), part=0.2),
    with_targets(toy_comparison(5, ranks=(0, 0, 1))),
]
CRITIC, OBJECTIVE = CriticConfig(reward_weight=0.7, language_weight=1.3), ObjectiveConfig(zero_coefficient=0.1)
Case = tuple[How, str, str]
QUICK: list[Case] = [(3, "one Comparison a row", "tied"), (2, "few rows", "own"), ("fsdp-3", "few rows", "own")]
REST: list[Case] = [
    (0, "few rows", "own"), (1, "one Comparison a row", "own"), (1, "few rows", "tied"),
    (2, "one Comparison a row", "tied"), (3, "few rows", "own"),
    ("fsdp-1", "one Comparison a row", "tied"), ("fsdp-2", "few rows", "own"), ("fsdp-3", "few rows", "tied"),
]  # fmt: skip


def split_gradients(cases: list[Case]) -> dict[Case, tuple[dict[str, Tensor], float, float]]:
    return {case: split_gradient(*case) for case in cases}


def split_gradient(how: How, budget: str, writes: str) -> tuple[dict[str, Tensor], float, float]:
    """The step's gradient, and its losses on rewards and critiques."""
    model = toy_reward_model(writes=writes)
    found, sums = step_gradient(model, ITEMS, _accumulator, paradigm="critic", how=how, budget=budget)
    losses = sums["loss_rank"] / sums["count_rank"], sums["loss_language"] / sums["count_language"]
    return found, *losses


def _accumulator(engine: Engine, model: RewardModel, phases: Any) -> Accumulator:
    return Accumulator(engine, model, Objective(OBJECTIVE), phases, CRITIC)


def reference(writes: str) -> tuple[dict[str, Tensor], float, float]:
    """Of separate rows, through Transformers' own forward pass and whole logits."""
    model = toy_reward_model(writes=writes)
    rewards = torch.cat([separate_rewards(model, item) for item in ITEMS])
    terms = Objective(OBJECTIVE)(rewards, labels_of(ITEMS)).terms
    rank, zero = (terms[name].sum / terms[name].count for name in ("rank", "zero"))
    means = torch.stack([cost.mean() for item in ITEMS for cost in separate_costs(model, item)])
    language = means.sum() / len(ITEMS)
    found = gradients(model, CRITIC.reward_weight * rank + zero + CRITIC.language_weight * language)
    return found, float(CRITIC.reward_weight * rank.detach()), float(CRITIC.language_weight * language.detach())


@pytest.mark.parametrize("cases", [QUICK, pytest.param(REST, marks=pytest.mark.drill)], ids=["quick", "rest"])
def test_the_gradient_is_that_of_separate_rows(cases: list[Case], tmp_path: Path) -> None:
    expected = {writes: reference(writes) for writes in ("own", "tied")}
    found = run_ranks(split_gradients, 2, tmp_path, cases)[0]
    for case in cases:
        ours, theirs = found[case], expected[case[2]]
        assert_equal_gradients(ours[0], theirs[0])
        assert ours[1:] == pytest.approx(theirs[1:], rel=1e-5)
