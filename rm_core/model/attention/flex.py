"""FlexAttention over a block mask that is made from the layout's tiles (`rm_core.batches.attention_indices`).

Dong et al. 2024, "Flex Attention" (arXiv 2412.05496). Legend: T tokens of the row.
"""

from functools import cache, partial
from typing import Any

import torch
from torch import Tensor
from torch._inductor import config as inductor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from rm_core.batches.attention_indices import TILE, Tiles
from rm_core.batches.layout import BlockLayout

__all__ = ["block_mask_of", "prepare", "why_not"]

_OPTIONS: dict[str, Any] | None = (
    {"wrap_inductor_compiled_regions": True} if hasattr(inductor, "wrap_inductor_compiled_regions") else None
)
"""Lets selective recomputation see the compiled kernel as one operator, whose outputs it keeps. PyTorch 2.11 has no
such option: there, `selective` runs this attention again."""


def why_not(device: torch.device, _dtype: torch.dtype) -> str:
    """FlexAttention trains on GPUs only; on CPUs it would fall back to a T x T matrix."""
    return "" if device.type == "cuda" else f"it needs a CUDA GPU, the model is on {device}"


def prepare(layout: BlockLayout, tiles: Tiles) -> "partial[Tensor]":
    """Attention of a row of these tiles, on their device."""
    return partial(_attend, block_mask_of(layout.num_tokens, tiles))


def _attend(mask: BlockMask, query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float) -> Tensor:
    if dropout:
        raise ValueError(f"FlexAttention has no dropout, asked for {dropout}")
    function = _compiled() if query.is_cuda else flex_attention
    gqa = query.shape[1] != key.shape[1]
    attended: Tensor = function(query, key, value, block_mask=mask, scale=scale, enable_gqa=gqa)
    return attended


@cache
def _compiled() -> Any:
    """Compiled for any length at once: rows of new lengths run the same code."""
    return torch.compile(flex_attention, dynamic=True, options=_OPTIONS)


def block_mask_of(num_tokens: int, tiles: Tiles) -> BlockMask:
    """FlexAttention's block mask: full tiles are computed without the rule, empty ones not at all."""
    return BlockMask.from_kv_blocks(
        tiles.some_counts, tiles.some_tiles, tiles.full_counts, tiles.full_tiles, BLOCK_SIZE=TILE,
        mask_mod=_rule(tiles.comparison_start, tiles.prefix_end, tiles.own_start), seq_lengths=(num_tokens, num_tokens),
    )  # fmt: skip


def _rule(comparison_start: Tensor, prefix_end: Tensor, own_start: Tensor) -> Any:
    def rule(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        in_prefix = (k >= comparison_start[q]) & (k < prefix_end[q])
        return (k <= q) & ((k >= own_start[q]) | in_prefix)

    return rule
