"""Rotary positions (RoPE, arXiv 2104.09864) in three operations, from tables that are made once a row.

    rotated = x * cosine + roll(x) * sine      roll swaps the halves of a head; sine's first half has its sign turned

Transformers writes it as x * cos + cat(-x2, x1) * sin: five operations, for queries and for keys, in every layer. The
gradient is the rotation by the opposite angle, since both halves of a head have the same angles.
Legend: T tokens or patches, N heads, D head dimension.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Tables", "joined", "rotate", "tables_of"]


class Tables(NamedTuple):
    """[T, 1, D] each, without gradient; where more dimensions stand before the heads, as many of size 1."""

    cosine: Tensor
    signed_sine: Tensor


def tables_of(cosine: Tensor, sine: Tensor) -> Tables:
    """From what Transformers' rotary embeddings give: [T, D], of which the second half of D repeats the first."""
    first, second = sine.chunk(2, dim=-1)
    return Tables(cosine[:, None], torch.cat((-first, second), dim=-1)[:, None])


def joined(table: Tensor, sections: Sequence[int]) -> Tensor:
    """[1, T, D] from M-RoPE's [3, 1, T, D]: time, height and width take turns, each for as many columns as `sections`
    says, over either half of a head (arXiv 2409.12191, section 2.1).
    """
    parts = torch.split(table, [*sections, *sections], dim=-1)
    return torch.cat([part[place % 3] for place, part in enumerate(parts)], dim=-1)


def rotate(heads: Tensor, tables: Tables) -> Tensor:
    """[T, N, D] from [T, N, D], computed in the wider of the types of heads and tables."""
    if torch.compiler.is_compiling():  # which finds by itself that the tables are enough
        return _turned(heads, *tables, 1.0)
    rotated: Tensor = _Rotation.apply(heads, *tables)  # type: ignore[no-untyped-call]
    return rotated


class _Rotation(torch.autograd.Function):
    """Keeps the tables alone for its backward pass."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        ctx.save_for_backward(cosine, sine)
        return _turned(heads, cosine, sine, 1.0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        cosine, sine = ctx.saved_tensors
        return _turned(gradient, cosine, sine, -1.0), None, None


def _turned(heads: Tensor, cosine: Tensor, sine: Tensor, direction: float) -> Tensor:
    swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads * cosine, swapped, sine, value=direction).to(heads.dtype)
