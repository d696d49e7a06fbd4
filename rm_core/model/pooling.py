"""Which tokens of a row the head reads, and how they become one vector a response.

Legend: T tokens of the row, S pooled tokens, R responses, E hidden size.
"""

import torch
from torch import Tensor

from rm_core.batches.packed import PackedBatch

__all__ = ["pool", "pooled_tokens"]

_CHUNK = 8192
"""Tokens that are averaged at once: float32 copies of no more than these exist."""


def pooled_tokens(batch: PackedBatch, pooling: str) -> Tensor:
    """Places in the row, int64 [S]: each response's last token (last), or all tokens of all responses (mean)."""
    if pooling == "last":
        return batch.reward_index
    assert pooling == "mean", pooling
    # The responses of a Comparison stand one behind the other.
    spans = [torch.arange(block.start + block.prefix_length, block.stop) for block in batch.layout.blocks]
    return torch.cat(spans).to(batch.input_ids.device, non_blocking=True)


def pool(hidden: Tensor, batch: PackedBatch, pooling: str) -> Tensor:
    """[R, E] from the pooled tokens' hidden states [S, E]; a mean is made in float32."""
    if pooling == "last":
        return hidden
    lengths = batch.labels.lengths  # on the CPU: nothing here waits for a GPU
    response = torch.repeat_interleave(lengths).to(hidden.device, non_blocking=True)
    sums = torch.zeros(len(lengths), hidden.shape[1], dtype=torch.float32, device=hidden.device)
    for part, owner in zip(torch.split(hidden, _CHUNK), torch.split(response, _CHUNK), strict=True):
        sums = sums.index_add(0, owner, part.float())
    return sums / lengths[:, None].to(hidden.device, non_blocking=True)
