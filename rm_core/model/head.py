"""The reward head: pooled hidden states -> float32 rewards.

The paper's ablation (its Table 2) varies layers 1 to 5 and the activation; two layers with SiLU win.
"""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_pipeline.bounds import check_bounds
from rm_core.model.config import HeadConfig

__all__ = ["ACTIVATIONS", "Float32Linear", "RewardHead"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}


class Float32Linear(nn.Linear):
    """A linear layer whose arithmetic is float32 whatever type its weights are kept in (bf16 engines cast them)."""

    def forward(self, input: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.float()
        return functional.linear(input.float(), self.weight.float(), bias)


class RewardHead(nn.Module):
    """An MLP from [N, hidden] to [N], or to [N, 2], mean and log-variance, with `config.uncertainty`; N may be 0.

    Raises:
        RecipeError: a value of the config is out of bounds.
    """

    def __init__(self, hidden_size: int, config: HeadConfig) -> None:
        super().__init__()
        check_bounds(config, "train.head")
        width = config.width or hidden_size
        outputs = 2 if config.uncertainty else 1
        sizes = [hidden_size, *[width] * (config.layers - 1), outputs]
        layers: list[nn.Module] = []
        for index, (size_in, size_out) in enumerate(pairwise(sizes)):
            if index > 0:
                layers.append(ACTIVATIONS[config.activation]())
            if config.dropout > 0:
                layers.append(nn.Dropout(config.dropout))
            # The last layer has no bias: a constant added to every reward is invisible to a pairwise objective, and
            # Adam would turn the rounding noise of its gradient into drift.
            layers.append(Float32Linear(size_in, size_out, bias=config.bias and index < config.layers - 1))
        self.layers = nn.Sequential(*layers)
        self._scalar = not config.uncertainty
        self._init_std = config.init_std

    def initialise(self, seed: int) -> None:
        """Weights from N(0, 1/size_in), or `config.init_std` squared; biases 0. Rewards start spread by about 1."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, Float32Linear):
                std = module.in_features**-0.5 if self._init_std is None else self._init_std
                with torch.no_grad():
                    module.weight.copy_(torch.randn(module.weight.shape, generator=generator) * std)
                    if module.bias is not None:
                        module.bias.zero_()

    def forward(self, hidden: Tensor) -> Tensor:
        rewards: Tensor = self.layers(hidden).float()
        return rewards.squeeze(-1) if self._scalar else rewards
