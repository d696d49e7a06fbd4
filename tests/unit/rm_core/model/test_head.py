"""The reward head."""

import pytest
import torch

from data_pipeline.errors import RecipeError
from rm_core.model.config import HeadConfig
from rm_core.model.head import RewardHead


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
