"""FlexAttention over a block mask that is made from the layout.

The mask is described by three numbers a token, so that no T x T matrix is ever made:

    allowed(q, k)  =  k <= q  and  (k >= own_start[q]  or  comparison_start[q] <= k < prefix_end[q])

own_start is where the token's own response begins (for a token of the prefix: where the Comparison begins). Which of
the 128 x 128 tiles are empty, full or in between follows from counting, on the CPU, in O(T * T / 128).
Dong et al. 2024, "Flex Attention" (arXiv 2412.05496). Legend: T tokens of the row, N tiles a side.
"""

from functools import cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import BlockMask, flex_attention

from rm_core.batches.packed import BlockLayout

__all__ = ["BLOCK", "block_mask_of", "prepare", "token_bounds", "why_not"]

BLOCK = 128
"""Tokens a side of a tile; rows are filled up to a multiple of it."""

Integers = npt.NDArray[np.int32]


def why_not(device: torch.device, _dtype: torch.dtype) -> str:
    """FlexAttention trains on GPUs only; on CPUs it would fall back to a T x T matrix."""
    return "" if device.type == "cuda" else f"it needs a CUDA GPU, the model is on {device}"


def prepare(layout: BlockLayout, device: torch.device) -> "partial[Tensor]":
    """Attention of rows of this layout, which must be a multiple of `BLOCK` long."""
    return partial(_attend, block_mask_of(layout, device))


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
    return torch.compile(flex_attention, dynamic=True)


def block_mask_of(layout: BlockLayout, device: torch.device) -> BlockMask:
    """The layout as FlexAttention's block mask: full tiles are computed without a mask, empty ones not at all.

    Raises:
        ValueError: the row is no multiple of `BLOCK` long.
    """
    if layout.num_tokens % BLOCK:
        raise ValueError(f"a row of {layout.num_tokens} tokens is no multiple of {BLOCK}")
    bounds = token_bounds(layout)
    allowed = _allowed_in_tiles(bounds)
    full = allowed == BLOCK * BLOCK
    kv_counts, kv_tiles = _listed((allowed > 0) & ~full, device)
    full_counts, full_tiles = _listed(full, device)
    tensors = [torch.from_numpy(part).to(device) for part in bounds]
    return BlockMask.from_kv_blocks(
        kv_counts, kv_tiles, full_counts, full_tiles,
        BLOCK_SIZE=BLOCK, mask_mod=_rule(*tensors), seq_lengths=(layout.num_tokens, layout.num_tokens),
    )  # fmt: skip


def token_bounds(layout: BlockLayout) -> tuple[Integers, Integers, Integers]:
    """(comparison_start, prefix_end, own_start) of every token, each int32 [T]."""
    starts, ends, owns = [], [], []
    for block in layout.blocks:
        segments = np.array([block.prefix_length, *block.response_lengths])
        begins = block.start + np.concatenate([[0], np.cumsum(segments)[:-1]])
        owns.append(np.repeat(begins, segments))
        starts.append(np.full(block.length, block.start))
        ends.append(np.full(block.length, block.start + block.prefix_length))
    comparison_start, prefix_end, own_start = (np.concatenate(part).astype(np.int32) for part in (starts, ends, owns))
    return comparison_start, prefix_end, own_start


def _rule(comparison_start: Tensor, prefix_end: Tensor, own_start: Tensor) -> Any:
    def rule(_batch: Tensor, _head: Tensor, q: Tensor, k: Tensor) -> Tensor:
        in_prefix = (k >= comparison_start[q]) & (k < prefix_end[q])
        return (k <= q) & ((k >= own_start[q]) | in_prefix)

    return rule


def _allowed_in_tiles(bounds: tuple[Integers, Integers, Integers]) -> npt.NDArray[np.int64]:
    """How many (query, key) pairs of each tile are allowed: [N, N].

    A query's keys are two intervals: its own segment up to itself, and for a response also the prefix.
    """
    comparison_start, prefix_end, own_start = bounds
    token = np.arange(len(own_start), dtype=np.int32)
    edges = np.arange(0, len(token), BLOCK, dtype=np.int32)
    in_prefix = own_start == comparison_start
    # A prefix token's own segment is the prefix: its second interval is empty.
    stops = np.where(in_prefix, comparison_start, prefix_end)
    counts = _overlap(own_start, token + 1, edges) + _overlap(comparison_start, stops, edges)
    tiles: npt.NDArray[np.int64] = counts.reshape(len(edges), BLOCK, len(edges)).sum(axis=1, dtype=np.int64)
    return tiles


def _overlap(start: Integers, stop: Integers, edges: Integers) -> Integers:
    """Members of the interval [start, stop) in each tile: [T, N]."""
    inside = np.minimum(stop[:, None], edges + BLOCK) - np.maximum(start[:, None], edges)
    clipped: Integers = np.maximum(inside, 0)
    return clipped


def _listed(tiles: npt.NDArray[np.bool_], device: torch.device) -> tuple[Tensor, Tensor]:
    """Row by row how many tiles, and which first: int32 [1, 1, N] and [1, 1, N, N]."""
    counts = tiles.sum(axis=1, dtype=np.int32)
    order = np.argsort(~tiles, axis=1, kind="stable").astype(np.int32)
    return torch.from_numpy(counts)[None, None].to(device), torch.from_numpy(order)[None, None].to(device)
