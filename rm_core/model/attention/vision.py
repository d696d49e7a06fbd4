"""The vision tower's attention: many short sequences (windows, frames), those of one length in one call.

Transformers calls its attention once a window: a picture of 448 x 448 pixels has 16 windows, a row of a GPU hundreds,
times the tower's layers. Here sequences of one length are one batch.

Legend: P patches of the row, H heads, D head dimension.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

__all__ = ["Chunks"]


class Chunks:
    """Sequences that stand one behind the other and attend to themselves only, grouped by length.

    Args:
        lengths: of each, in order; they cover the row's patches.
    """

    def __init__(self, lengths: Sequence[int], device: torch.device) -> None:
        indices: dict[int, list[Tensor]] = {}
        start = 0
        for length in lengths:
            indices.setdefault(length, []).append(torch.arange(start, start + length))
            start += length
        self._lengths = list(indices)
        self._gathered: list[Tensor] = []
        self._back: Tensor | None = None
        if len(indices) > 1:
            gathered = [torch.cat(group) for group in indices.values()]
            self._back = torch.argsort(torch.cat(gathered)).to(device, non_blocking=True)
            self._gathered = [group.to(device, non_blocking=True) for group in gathered]

    def attend(self, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
        """[P, H, D] from query, key and value [P, H, D]."""
        if self._back is None:
            return _attend(query, key, value, self._lengths[0], scale)
        groups = [
            _attend(query[index], key[index], value[index], length, scale)
            for length, index in zip(self._lengths, self._gathered, strict=True)
        ]
        return torch.cat(groups)[self._back]


def _attend(query: Tensor, key: Tensor, value: Tensor, length: int, scale: float) -> Tensor:
    """Attention of sequences of one length, standing one behind the other."""
    shape = (-1, length, *query.shape[1:])
    queries, keys, values = (part.view(shape).transpose(1, 2) for part in (query, key, value))
    return scaled_dot_product_attention(queries, keys, values, scale=scale).transpose(1, 2).flatten(0, 1)
