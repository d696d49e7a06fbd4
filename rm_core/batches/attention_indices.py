"""What each attention kernel reads of a row's layout, as tensors that are made beside the row, on the CPU.

A kernel that made them from lengths would have the GPU wait for every number. The rule is described by three numbers a
token, so that no T x T matrix is ever made:

    allowed(q, k)  =  k <= q  and  (k >= own_start[q]  or  comparison_start[q] <= k < prefix_end[q])

own_start is where the token's own response begins (for a token of the prefix: where the Comparison begins). Which of
the 128 x 128 tiles are empty, full or in between follows from counting, in O(T * T / 128).
Legend: T tokens of the row, N tiles a side, U gathered keys, S sequences.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rm_core.batches.layout import BlockLayout

__all__ = [
    "MAKERS",
    "TILE",
    "AttentionIndices",
    "OwnStarts",
    "Sequences",
    "Tiles",
    "sequences_of",
    "tiles_of",
    "token_bounds",
]

TILE = 128
"""Tokens a side of a tile; rows of `Tiles` are filled up to a multiple of it."""

Integers = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class OwnStarts:
    """For `sdpa`: int32 [T], own_start of every token."""

    own_start: Tensor


@dataclass(frozen=True, slots=True)
class Tiles:
    """For `flex`: the rule, and which tiles are not empty.

    Attributes:
        comparison_start, prefix_end, own_start: int32 [T].
        some_counts, some_tiles: int32 [1, 1, N] and [1, 1, N, N], tiles of each row of tiles that need the rule.
        full_counts, full_tiles: those in which everything is allowed.
    """

    comparison_start: Tensor
    prefix_end: Tensor
    own_start: Tensor
    some_counts: Tensor
    some_tiles: Tensor
    full_counts: Tensor
    full_tiles: Tensor


@dataclass(frozen=True, slots=True)
class Sequences:
    """For `flash`: the layout as sequences.

    Attributes:
        key_index: int64 [U], the row's token at each gathered key.
        query_starts: int32 [S + 1], where each sequence's queries begin.
        key_starts: int32 [S + 1], where each sequence's keys begin.
        longest_query, longest_key: tokens.
    """

    key_index: Tensor
    query_starts: Tensor
    key_starts: Tensor
    longest_query: int
    longest_key: int


AttentionIndices = OwnStarts | Tiles | Sequences


def own_starts_of(layout: BlockLayout) -> OwnStarts:
    """Of every token."""
    return OwnStarts(torch.from_numpy(token_bounds(layout)[2]))


def tiles_of(layout: BlockLayout) -> Tiles:
    """Tiles that are full are computed without a mask, and empty ones not at all.

    Raises:
        ValueError: the row is no multiple of `TILE` long.
    """
    if layout.num_tokens % TILE:
        raise ValueError(f"a row of {layout.num_tokens} tokens is no multiple of {TILE}")
    bounds = token_bounds(layout)
    allowed = _allowed_in_tiles(bounds)
    full = allowed == TILE * TILE
    starts, ends, owns = map(torch.from_numpy, bounds)
    return Tiles(starts, ends, owns, *_listed((allowed > 0) & ~full), *_listed(full))


def sequences_of(layout: BlockLayout) -> Sequences:
    """Queries and gathered keys of every sequence of the row."""
    pieces: list[npt.NDArray[np.int64]] = []
    queries: list[int] = []
    keys: list[int] = []
    for block in layout.blocks:
        first = block.prefix_length + sum(block.response_lengths[:1])
        queries.append(first)
        keys.append(first)
        pieces.append(np.arange(block.start, block.start + first))
        start = block.start + first
        for length in block.response_lengths[1:]:
            pieces += [np.arange(block.start, block.start + block.prefix_length), np.arange(start, start + length)]
            queries.append(length)
            keys.append(block.prefix_length + length)
            start += length
    return Sequences(
        key_index=torch.from_numpy(np.concatenate(pieces)),
        query_starts=_starts(queries),
        key_starts=_starts(keys),
        longest_query=max(queries),
        longest_key=max(keys),
    )


MAKERS: dict[str, Callable[[BlockLayout], AttentionIndices]] = {
    "sdpa": own_starts_of,
    "flex": tiles_of,
    "flash": sequences_of,
}
"""By the name of the attention kernel."""


def _starts(lengths: list[int]) -> Tensor:
    return torch.tensor([0, *accumulate(lengths)], dtype=torch.int32)


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


def _allowed_in_tiles(bounds: tuple[Integers, Integers, Integers]) -> npt.NDArray[np.int64]:
    """How many (query, key) pairs of each tile are allowed: [N, N].

    A query's keys are two intervals: its own segment up to itself, and for a response also the prefix.
    """
    comparison_start, prefix_end, own_start = bounds
    token = np.arange(len(own_start), dtype=np.int32)
    edges = np.arange(0, len(token), TILE, dtype=np.int32)
    in_prefix = own_start == comparison_start
    # A prefix token's own segment is the prefix: its second interval is empty.
    stops = np.where(in_prefix, comparison_start, prefix_end)
    counts = _overlap(own_start, token + 1, edges) + _overlap(comparison_start, stops, edges)
    tiles: npt.NDArray[np.int64] = counts.reshape(len(edges), TILE, len(edges)).sum(axis=1, dtype=np.int64)
    return tiles


def _overlap(start: Integers, stop: Integers, edges: Integers) -> Integers:
    """Members of the interval [start, stop) in each tile: [T, N]."""
    inside = np.minimum(stop[:, None], edges + TILE) - np.maximum(start[:, None], edges)
    clipped: Integers = np.maximum(inside, 0)
    return clipped


def _listed(tiles: npt.NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
    """Row by row how many tiles, and which first: int32 [1, 1, N] and [1, 1, N, N]."""
    counts = tiles.sum(axis=1, dtype=np.int32)
    order = np.argsort(~tiles, axis=1, kind="stable").astype(np.int32)
    return torch.from_numpy(counts)[None, None], torch.from_numpy(order)[None, None]
