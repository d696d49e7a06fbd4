"""PyTorch's scaled dot-product attention, two calls a Comparison.

    prefix and first response   one plain causal sequence: the kernel skips the masked half
    all other responses         queries of them all against [prefix | other responses], with a mask

Where the prefix's keys and values are known, one call: queries of all responses against [prefix | responses].

Measured on two CPU cores against one masked call over the whole Comparison (forward and backward, 8 heads of 64): a
prefix of 283 tokens and responses of 125 + 125: 0.84 of its time; 400 + 800: 0.60; four of 13: 0.91; a prefix of 67 and
responses of 1,500 + 68: 0.56.
"""

from functools import partial

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from rm_core.batches.attention_indices import OwnStarts
from rm_core.batches.layout import Block, BlockLayout

__all__ = ["prepare", "prepare_known"]


def prepare(layout: BlockLayout, starts: OwnStarts) -> "partial[Tensor]":
    """Attention of rows of this layout; masks of equal Comparisons are made once, where `starts` lies."""
    masks: dict[tuple[int, tuple[int, ...]], Tensor | None] = {}
    for block in layout.blocks:
        key = (block.prefix_length, block.response_lengths)
        if key not in masks:
            masks[key] = _mask_of_the_others(block, starts.own_start)
    return partial(_attend, layout, [masks[block.prefix_length, block.response_lengths] for block in layout.blocks])


def prepare_known(whole: BlockLayout, computed: BlockLayout, starts: OwnStarts) -> "partial[Tensor]":
    """Attention of rows that leave out some prefixes: queries of computed tokens, over the keys of the whole row.

    Args:
        starts: of the whole row.
    """
    parts = [_attend_one(*both, starts.own_start) for both in zip(whole.blocks, computed.blocks, strict=True)]
    return partial(_attend_each, whole, computed, parts)


def _attend_one(whole: Block, computed: Block, own_start: Tensor) -> "partial[Tensor]":
    """Attention of one Comparison, in one call where its prefix is left out."""
    if computed.length == whole.length:
        return partial(_attend, BlockLayout((whole,)), [_mask_of_the_others(whole, own_start)])
    return partial(_attend_masked, _mask_of_computed(whole, computed, own_start))


def _mask_of_computed(whole: Block, computed: Block, own_start: Tensor) -> Tensor:
    """Bool [computed tokens, tokens of the whole block], where the computed ones are its last."""
    first = whole.stop - computed.length
    key = torch.arange(whole.start, whole.stop, device=own_start.device)
    own = own_start[first : whole.stop, None]
    causal = key <= key[first - whole.start :, None]
    return causal & ((key < whole.start + whole.prefix_length) | (key >= own))


def _attend_masked(mask: Tensor, query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float) -> Tensor:
    return scaled_dot_product_attention(
        query, key, value, attn_mask=mask, dropout_p=dropout, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )


def _attend_each(
    whole: BlockLayout,
    computed: BlockLayout,
    parts: "list[partial[Tensor]]",
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    dropout: float,
) -> Tensor:
    queries = torch.split(query, [block.length for block in computed.blocks], dim=2)
    keys, values = (torch.split(part, [block.length for block in whole.blocks], dim=2) for part in (key, value))
    outputs = [attend(*own, scale, dropout) for attend, *own in zip(parts, queries, keys, values, strict=True)]
    return torch.cat(outputs, dim=2)


def _mask_of_the_others(block: Block, own_start: Tensor) -> Tensor | None:
    """Bool [Q, P + Q]: queries of responses 2 to K against the prefix and themselves; None where there are none.

    A query sees the prefix, and of the others the keys from its own response's start to itself.
    """
    if len(block.response_lengths) < 2:
        return None
    prefix, first = block.prefix_length, block.start + block.prefix_length + block.response_lengths[0]
    # Places among the others; the keys of the prefix stand before them, at negative places.
    key = torch.arange(-prefix, block.stop - first, device=own_start.device)
    own = (own_start[first : block.stop] - first)[:, None]
    return (key < 0) | ((key >= own) & (key <= key[prefix:, None]))


def _attend(
    layout: BlockLayout,
    masks: list[Tensor | None],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    scale: float,
    dropout: float,
) -> Tensor:
    call = partial(
        scaled_dot_product_attention, dropout_p=dropout, scale=scale, enable_gqa=query.shape[1] != key.shape[1]
    )
    outputs = []
    # Split, not sliced: the gradient of a slice is a whole row of zeros, and there would be several a Comparison.
    lengths = [length for block in layout.blocks for length in _causal_and_other_lengths(block)]
    parts = zip(*(torch.split(tensor, lengths, dim=2) for tensor in (query, key, value)), strict=True)
    for block, mask in zip(layout.blocks, masks, strict=True):
        queries, keys, values = next(parts)
        outputs.append(call(queries, keys, values, is_causal=True))
        prefix = [part[:, :, : block.prefix_length] for part in (keys, values)]
        queries, *others = next(parts)
        if mask is not None:
            keys, values = (torch.cat(both, dim=2) for both in zip(prefix, others, strict=True))
            outputs.append(call(queries, keys, values, attn_mask=mask))
    return torch.cat(outputs, dim=2)


def _causal_and_other_lengths(block: Block) -> tuple[int, int]:
    """Tokens of prefix and first response, and those of the other responses."""
    return block.prefix_length + sum(block.response_lengths[:1]), sum(block.response_lengths[1:])
