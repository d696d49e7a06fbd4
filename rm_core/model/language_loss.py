"""What computes the cross-entropy of a language head: PyTorch in chunks, or Liger's fused kernel on a GPU.

    train.language_loss --fused_costs--> (hidden [N, E], weight [V, E], ids [N]) -> float32 [N], or None: in chunks

Both make logits of a chunk at a time, and again in the backward pass; Liger (Hsu et al. 2024, arXiv 2410.10989) does
softmax, loss and gradient in one kernel that writes over them. Its early versions multiplied the weights' gradient by
that of the first token alone where tokens weigh differently, as those of critiques do, and said nothing. So a small
problem is solved both ways before it is used.
"""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version

import torch
from torch import Tensor
from torch.nn import functional

from data_pipeline.errors import RecipeError

__all__ = ["LANGUAGE_LOSSES", "Costs", "fused_costs"]

LANGUAGE_LOSSES = ("auto", "chunked", "liger")
"""Who computes it; `auto`: Liger where the weights are on a GPU and it is installed and right, else chunks."""

Costs = Callable[[Tensor, Tensor, Tensor], Tensor]
_TOLERANCE = 0.01
"""Of the small problem's gradients, which are about 1; products on a GPU may be TF32."""


def fused_costs(which: str, device: torch.device) -> Costs | None:
    """What a recipe's word means for weights on `device`; None: chunks.

    Raises:
        RecipeError: another word, or Liger is asked for and cannot run here, or gives wrong gradients.
    """
    if which not in LANGUAGE_LOSSES:
        raise RecipeError(f"train.language_loss={which!r} is unknown; choose one of {', '.join(LANGUAGE_LOSSES)}")
    if which == "chunked" or (which == "auto" and not _runs_on(device)):
        return None
    reason = _why_not(device)
    if reason and which == "liger":
        raise RecipeError(f"train.language_loss=liger cannot run here: {reason}; or set train.language_loss=chunked")
    return None if reason else _liger_costs


def _runs_on(device: torch.device) -> bool:
    return device.type == "cuda"


def _why_not(device: torch.device) -> str:
    if not _runs_on(device):
        return f"it needs a GPU, and the model is on the device {device}"
    try:
        right = _is_right(device)
    except ImportError as error:
        return f"Liger-Kernel is not installed ({error}): pip install 'basereward[liger]'"
    return (
        "" if right else f"liger-kernel {_version()} gives wrong gradients of tokens that weigh differently: upgrade it"
    )


def _version() -> str:
    try:
        return version("liger-kernel")
    except PackageNotFoundError:
        return "of an unknown version"


def _liger_costs(hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    costs: Tensor = liger_fused_linear_cross_entropy(hidden, weight, ids, reduction="none")
    return costs


def _is_right(device: torch.device) -> bool:
    """Whether costs and gradients of four tokens of different weights are those of PyTorch."""
    numbers = torch.Generator().manual_seed(0)
    hidden, weight = (torch.randn(size, 32, generator=numbers).to(device) for size in (4, 64))
    ids, weights = torch.tensor([3, 63, 0, 17], device=device), torch.tensor([0.1, 2.0, -1.0, 0.5], device=device)

    def solved(costs_of: Costs) -> tuple[Tensor, ...]:
        read, table = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        costs = costs_of(read, table, ids)
        return (costs.detach(), *torch.autograd.grad((costs * weights).sum(), (read, table)))

    def plainly(read: Tensor, table: Tensor, ids: Tensor) -> Tensor:
        return functional.cross_entropy(functional.linear(read, table), ids, reduction="none")

    pairs = zip(solved(_liger_costs), solved(plainly), strict=True)
    return all(torch.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE) for one, other in pairs)
