"""Bradley-Terry numbers, and the reward head."""

import math

import pytest
import torch

from data_pipeline.errors import RecipeError
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead
from rm_core.objectives.pairwise import bradley_terry


def test_the_docstring_numbers() -> None:
    for margin, cost in ((2.0, 0.1269), (0.0, 0.6931), (-2.0, 2.1269), (-1e4, 1e4)):
        loss = bradley_terry(torch.tensor([margin, 0.0]), torch.tensor([[0], [1]]))
        assert float(loss.sum) == pytest.approx(cost, abs=1e-4)


def test_all_ordered_pairs_count_and_only_a_strictly_higher_reward_is_right() -> None:
    rewards = torch.tensor([1.0, 3.0, 3.0])
    loss = bradley_terry(rewards, torch.tensor([[1, 2, 1], [0, 0, 2]]))
    assert loss.count == 3
    assert int(loss.num_correct) == 2
    assert float(loss.margin_sum) == 4.0
    assert float(loss.sum) == pytest.approx(2 * math.log(1 + math.exp(-2)) + math.log(2))


def test_gradients_are_finite_at_huge_gaps_and_no_pair_costs_nothing() -> None:
    rewards = torch.tensor([1e4, -1e4], requires_grad=True)
    bradley_terry(rewards, torch.tensor([[1], [0]])).sum.backward()
    assert rewards.grad is not None and rewards.grad.tolist() == [1.0, -1.0]
    assert float(bradley_terry(rewards, torch.zeros(2, 0, dtype=torch.long)).sum.detach()) == 0.0


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("activation", ["none", "tanh", "silu", "relu", "gelu"])
def test_head_shapes_and_float32_arithmetic(layers: int, activation: str) -> None:
    head = RewardHead(16, HeadConfig(layers=layers, activation=activation, width=24))
    head.initialise(0)
    hidden = torch.randn(7, 16, generator=torch.Generator().manual_seed(1))
    assert head(hidden).shape == (7,)
    half = head.to(torch.bfloat16)(hidden.bfloat16())
    assert half.dtype == torch.float32
    # Products of bf16 numbers summed in bf16 would be rounded to 8 bits: float32 arithmetic is not.
    assert not torch.equal(half, half.bfloat16().float())


def test_two_layers_with_silu_is_the_papers_head() -> None:
    head = RewardHead(16, HeadConfig())
    assert [type(layer).__name__ for layer in head.layers] == ["Float32Linear", "SiLU", "Float32Linear"]
    assert [tuple(layer.weight.shape) for layer in head.layers if hasattr(layer, "weight")] == [(16, 16), (1, 16)]


def test_the_head_refuses_what_it_cannot_be() -> None:
    with pytest.raises(RecipeError, match="layers=6"):
        RewardHead(16, HeadConfig(layers=6))
    with pytest.raises(RecipeError, match="'swish'"):
        RewardHead(16, HeadConfig(activation="swish"))


def test_initialisation_depends_on_the_seed_only() -> None:
    first, second, third = (RewardHead(16, HeadConfig()) for _ in range(3))
    first.initialise(3)
    torch.rand(5)
    second.initialise(3)
    third.initialise(4)
    assert torch.equal(first.layers[0].weight, second.layers[0].weight)
    assert not torch.equal(first.layers[0].weight, third.layers[0].weight)
