"""The kernels by name, and which of them a machine can run."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from data_pipeline.errors import RecipeError
from rm_core.batches.layout import BlockLayout
from rm_core.model.attention import flex, sdpa, varlen

__all__ = ["KERNELS", "Attend", "Kernel", "choose_kernel"]

Attend = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
"""(query, key, value, scale, dropout) -> output, all [1, heads, T, D]."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One way to compute the attention of a packed row.

    Attributes:
        alignment: rows are filled up to a multiple of this many tokens.
        prepare: (layout, device) -> attention of that row; once a row.
        why_not: (device, type of the weights) -> what is missing here, or "".
    """

    name: str
    alignment: int
    prepare: Callable[[BlockLayout, torch.device], Attend]
    why_not: Callable[[torch.device, torch.dtype], str]


KERNELS: dict[str, Kernel] = {
    "sdpa": Kernel(name="sdpa", alignment=1, prepare=sdpa.prepare, why_not=lambda *_: ""),
    "flex": Kernel(name="flex", alignment=flex.BLOCK, prepare=flex.prepare, why_not=flex.why_not),
    "flash": Kernel(name="flash", alignment=1, prepare=varlen.prepare, why_not=varlen.why_not),
}


def choose_kernel(name: str, device: torch.device, dtype: torch.dtype) -> Kernel:
    """The kernel called `name`; "auto" takes flex on a GPU and sdpa elsewhere.

    Raises:
        RecipeError: unknown, or this machine cannot run it: nothing else runs in its place.
    """
    if name == "auto":
        name = "flex" if device.type == "cuda" else "sdpa"
    if name not in KERNELS:
        raise RecipeError(f"train.attention={name!r} is unknown; choose one of auto, {', '.join(KERNELS)}")
    kernel = KERNELS[name]
    if reason := kernel.why_not(device, dtype):
        raise RecipeError(f"train.attention={name!r} cannot run here: {reason}; choose sdpa, which runs everywhere")
    return kernel
