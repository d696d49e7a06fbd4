"""What one operation takes on this device, each as a training had it and as it has it: where a step's time can go.

Legend: P patches of the tower, T tokens of the decoder.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, rms_norm, silu

from benchmarks.gpu_step.parts import Scale
from rm_core.model import compiled
from rm_core.model.rotary import Tables, rotate

__all__ = ["micro"]

_ROUNDS = 5
_PATCH = (3, 2, 14, 14)
_WIDTHS = (3420, 3424, 3456)
"""Of the tower's MLP: the published one, the next multiple of 8, the next of 128."""


def micro(scale: Scale) -> dict[str, Any]:
    """Ceilings of products and copies, and microseconds of the parts of a layer."""
    rows, width, square = (16_384, 1280, 8192) if scale.device.type == "cuda" else (64, 32, 64)
    bench = _Micro(scale)
    a, b = bench.numbers(square, square), bench.numbers(square, square)
    figures: dict[str, Any] = {
        "product_tflops": 2 * square**3 / bench.seconds(lambda: a @ b) / 1e12,
        "copy_gb_s": 2 * a.nbytes / bench.seconds(lambda: b.copy_(a)) / 1e9,
    }
    hidden = bench.numbers(rows, width)
    for wide in _WIDTHS:
        weight = bench.numbers(wide, width)
        figures[f"mlp_{wide}_us"] = 1e6 * bench.seconds(lambda weight=weight: linear(hidden, weight))
    return figures | _patches(bench, rows, width) | _pointwise(bench, hidden)


def _patches(bench: "_Micro", rows: int, width: int) -> dict[str, Any]:
    """The patch embedding as the convolution that Transformers has, and as the product that we have."""
    convolution = nn.Conv3d(_PATCH[0], width, _PATCH[1:], stride=_PATCH[1:], bias=False)
    convolution = convolution.to(bench.device, bench.dtype)
    patches = bench.numbers(rows, *_PATCH)
    return {
        "patch_convolution_us": 1e6 * bench.seconds(lambda: convolution(patches)),
        "patch_product_us": 1e6 * bench.seconds(lambda: linear(patches.flatten(1), convolution.weight.flatten(1))),
    }


def _pointwise(bench: "_Micro", hidden: Tensor) -> dict[str, Any]:
    """Norm, rotation and gate, plain and compiled."""
    scale, epsilon = bench.numbers(hidden.shape[1]), 1e-6
    heads = bench.numbers(len(hidden), 2, 16)
    tables = Tables(bench.numbers(len(hidden), 1, 16).float(), bench.numbers(len(hidden), 1, 16).float())

    def norm_in_steps(value: Tensor) -> Tensor:
        wide = value.float()
        return scale * (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + epsilon)).to(value.dtype)

    operations: dict[str, tuple[Callable[..., Tensor], Tensor]] = {
        "norm_in_steps": (norm_in_steps, hidden),
        "norm": (lambda value: rms_norm(value, value.shape[-1:], scale, epsilon), hidden),
        "rotation": (lambda value: rotate(value, tables), heads),
        "gate": (lambda value: silu(value) * value, hidden),
    }
    figures = {}
    for name, (operation, value) in operations.items():
        figures[f"{name}_us"] = 1e6 * bench.seconds(lambda: operation(value))  # noqa: B023
        if bench.compiles:
            made = torch.compile(operation, backend=compiled.BACKEND)
            figures[f"{name}_compiled_us"] = 1e6 * bench.seconds(lambda: made(value))  # noqa: B023
    return figures


class _Micro:
    """Numbers on a device, and its clock."""

    def __init__(self, scale: Scale) -> None:
        self.device, self.dtype, self.compiles = scale.device, scale.dtype, scale.compile_parts != "none"

    def numbers(self, *shape: int) -> Tensor:
        return torch.randn(shape, device=self.device).to(self.dtype)

    @torch.no_grad()
    def seconds(self, operation: Callable[[], Any]) -> float:
        """The median, after one call of warm-up."""
        operation()
        found = []
        for _ in range(_ROUNDS):
            start_s = self._now()
            operation()
            found.append(self._now() - start_s)
        return median(found)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()
