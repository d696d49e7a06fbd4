"""The reward head: pooled hidden states -> float32 rewards.

The paper's ablation (its Table 2) varies layers 1 to 5 and the activation; two layers with SiLU win. Which tokens of a
row the head reads, and how they become one vector a response, is the pooling.

Legend: S pooled tokens, R responses, E hidden size.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

from data_pipeline.bounds import check_bounds
from rm_core.model.config import HeadConfig

if TYPE_CHECKING:  # vLLM's process imports this file, and needs no rows of ours
    from rm_core.batches.packed import PackedBatch, ResponseTokens

__all__ = ["ACTIVATIONS", "Float32Linear", "RewardHead", "pool", "pooled_tokens"]

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "none": nn.Identity,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}
_CHUNK = 8192
"""Tokens that are averaged at once: float32 copies of no more than these exist."""


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
            # A new head's last layer has no bias: a constant added to every reward is invisible to a pairwise
            # objective, and Adam would turn the rounding noise of its gradient into drift.
            bias = config.output_bias if index == config.layers - 1 else config.bias
            layers.append(Float32Linear(size_in, size_out, bias=bias))
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
        # No view: FSDP hooks its backward pass to what a model returns, and warns of views.
        return rewards.squeeze(-1).clone() if self._scalar else rewards


def pooled_tokens(batch: "PackedBatch", pooling: str) -> Tensor:
    """Indices into the row, int64 [S]: each response's last token (last), or all tokens of all responses (mean)."""
    if pooling == "last":
        return batch.reward_index
    assert pooling == "mean", pooling
    return _responses(batch).index


def pool(hidden: Tensor, batch: "PackedBatch", pooling: str) -> Tensor:
    """[R, E] from the pooled tokens' hidden states [S, E]; a mean is made in float32."""
    if pooling == "last":
        return hidden
    tokens = _responses(batch)
    sums = torch.zeros(len(tokens.lengths), hidden.shape[1], dtype=torch.float32, device=hidden.device)
    for part, owner in zip(torch.split(hidden, _CHUNK), torch.split(tokens.owner, _CHUNK), strict=True):
        sums = sums.index_add(0, owner, part.float())
    return sums / tokens.lengths


def _responses(batch: "PackedBatch") -> "ResponseTokens":
    if batch.responses is None:
        raise TypeError("the row carries no indices: make it with collate, or give it some by with_indices")
    return batch.responses
