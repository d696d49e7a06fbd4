"""Linear layers that compute with a wider matrix than they keep: zeros fill the width up to a multiple of 128.

The vision MLP of the 3B and 7B models is 3,420 wide. Rows of 6,840 bytes are no multiple of 16, so that no matrix
product over them runs on a GPU's fast kernels; 3,456 is the next multiple of 128, 1 % more work.

    gate, up   [3420, 1280] -> 36 rows of zeros below: 36 more outputs, all 0, and SiLU(0) x 0 = 0
    down       [1280, 3420] -> 36 columns of zeros: they meet these zeros

So nothing changes but the order of sums. Weights keep names, shapes and gradients: what is padded is a copy that lives
as long as its product, made again for the backward pass, so that ZeRO-3 may drop the weight in between.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear, pad

__all__ = ["MULTIPLES", "PaddedInputs", "PaddedOutputs", "pad_mlp", "padded_width"]

MULTIPLES = {"cpu": 1}
"""Multiple that widths are filled up to by type of device; 128 where none is named. On a CPU it would cost time:
its kernels take any width."""


def padded_width(width: int, device: torch.device) -> int:
    """Columns or rows that are computed on `device`: 3,420 become 3,456 on a GPU and stay 3,420 on a CPU."""
    multiple = MULTIPLES.get(device.type, 128)
    return -(-width // multiple) * multiple


class PaddedOutputs(nn.Linear):
    """Gives [..., padded width] in place of [..., width]; what is more is 0."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., padded width of `out_features`] from [..., in_features]."""
        more = padded_width(self.out_features, input.device) - self.out_features
        if not more:
            return super().forward(input)
        return _padded(input, self.weight, self.bias, (0, more))


class PaddedInputs(nn.Linear):
    """Takes [..., padded width] in place of [..., width]; what is more is not looked at."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., out_features] from [..., padded width of `in_features`]."""
        more = padded_width(self.in_features, input.device) - self.in_features
        if not more:
            return super().forward(input)
        return _padded(input, self.weight, self.bias, (more, 0))


def pad_mlp(mlp: Any) -> None:
    """Let a gated MLP (`gate_proj`, `up_proj`, `down_proj`) compute with its width padded.

    Adapters beside a layer are padded with it: what they add has to be as wide. To be called again once there are some.
    """
    for name, kind, adapter in (
        ("gate_proj", PaddedOutputs, "lora_B"), ("up_proj", PaddedOutputs, "lora_B"),
        ("down_proj", PaddedInputs, "lora_A"),
    ):  # fmt: skip
        layer = getattr(mlp, name)
        parts = [getattr(layer, "base_layer", layer), *getattr(layer, adapter, {}).values()]
        for part in parts:
            part.__class__ = kind


def _padded(input: Tensor, weight: Tensor, bias: Tensor | None, more: tuple[int, int]) -> Tensor:
    """With so many more columns and rows of zeros."""
    if not torch.compiler.is_compiling():
        return _Padded.apply(input, weight, bias, more)  # type: ignore[no-untyped-call, no-any-return]
    columns, rows = more  # padded copies are made again in the compiled backward pass, as they are cheap
    return linear(input, pad(weight, (0, columns, 0, rows)), None if bias is None else pad(bias, (0, rows)))


class _Padded(torch.autograd.Function):
    """x W' + b' with W' and b' the padded weight and bias, neither of which is kept for the backward pass."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, weight: Tensor, bias: Tensor | None, more: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(input, weight)
        ctx.more, ctx.biased = more, bias is not None
        columns, rows = more
        wide = None if bias is None else pad(bias, (0, rows)) if rows else bias
        return linear(input, pad(weight, (0, columns, 0, rows)), wide)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        input, weight = ctx.saved_tensors
        (columns, rows), (for_input, for_weight, for_bias, _) = ctx.more, ctx.needs_input_grad
        of_input = of_weight = of_bias = None
        if for_input:
            of_input = gradient @ pad(weight, (0, columns, 0, rows))
        flat = gradient.flatten(0, -2)
        if for_weight:
            of_weight = (flat.T @ input.flatten(0, -2))[: weight.shape[0], : weight.shape[1]]
        if ctx.biased and for_bias:
            of_bias = flat.sum(0)[: weight.shape[0]]
        return of_input, of_weight, of_bias, None
