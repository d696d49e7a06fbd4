"""The vision tower of Qwen2-VL and Qwen2.5-VL over the distinct images of a packed row.

Transformers' own modules, called in their own order, with one difference: sequences (windows, frames) of one length
attend in one call, and every index is made on the CPU from the grids, so that a GPU never waits for Python.
Transformers calls its attention once a window: a picture of 448 x 448 pixels has 16 windows, a row of a GPU hundreds,
times the tower's layers.

Legend: P patches, V tokens that come out (P / 4), E hidden size of the language model, H heads, D head dimension.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention
from transformers.models.qwen2_5_vl.modeling_qwen2_5_vl import apply_rotary_pos_emb_vision
from transformers.vision_utils import get_vision_cu_seqlens, get_vision_position_ids, get_vision_window_index

__all__ = ["Chunks", "PatchProduct", "run_vision_tower", "use_patch_product"]


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


RunLayer = Callable[[int, Callable[..., Tensor], Tensor], Tensor]
"""(index of the layer, layer, its input) -> its output: recomputed in the backward pass, or not."""


def run_vision_tower(tower: Any, pixels: Tensor, grids: Tensor, run: RunLayer) -> Tensor:
    """Features [V, E] of all images, image by image, each row by row.

    Args:
        tower: `Qwen2VisionTransformerPretrainedModel` or `Qwen2_5_VisionTransformerPretrainedModel`.
        pixels: [P, 1176], in the type of the weights.
        grids: int64 [I, 3] on the CPU, (frames / 2, rows, columns) in patches.
    """
    merge = tower.spatial_merge_size
    positions = get_vision_position_ids(grids, merge)
    frames = Chunks(_lengths(get_vision_cu_seqlens(grids)), pixels.device)
    windows, order = frames, None
    if window_size := getattr(tower, "window_size", None):
        order, starts = get_vision_window_index(grids, merge, window_size, tower.patch_size)
        windows = Chunks(_lengths(starts), pixels.device)
        # Patches of one window stand together, and so do the four patches of one token.
        positions = _token_wise(positions, merge, order)
    hidden = tower.patch_embed(pixels)
    cosine, sine = tower.rotary_pos_emb(hidden, positions.to(pixels.device, non_blocking=True))
    if order is not None:
        order = order.to(pixels.device, non_blocking=True)
        hidden = _token_wise(hidden, merge, order)
    for index, block in enumerate(tower.blocks):
        whole_frames = order is None or index in tower.fullatt_block_indexes
        hidden = run(index, _Block(block, frames if whole_frames else windows, cosine, sine), hidden)
    features: Tensor = tower.merger(hidden)
    return features if order is None else features[torch.argsort(order)]


class PatchProduct(nn.Conv3d):
    """The patch embedding as the matrix product that it is: its kernel is as large as a patch and as its stride.

    Convolution kernels are made for overlapping windows: on two CPU cores it took 0.25 s for 4,096 patches,
    forward and backward, and the product 0.04 s.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[P, E] from patches [P, channels, frames, rows, columns]."""
        return linear(input.flatten(1), self.weight.flatten(1), self.bias)


def use_patch_product(tower: Any) -> None:
    """Compute the tower's patch embedding as a product; its weights stay where they are."""
    tower.patch_embed.proj.__class__ = PatchProduct


class _Block:
    """One block of the tower with what it attends over."""

    def __init__(self, block: Any, chunks: Chunks, cosine: Tensor, sine: Tensor) -> None:
        self._block = block
        self._chunks = chunks
        self._rotary = (cosine, sine)

    def __call__(self, hidden: Tensor) -> Tensor:
        hidden = hidden + self._attention(self._block.norm1(hidden))
        output: Tensor = hidden + self._block.mlp(self._block.norm2(hidden))
        return output

    def _attention(self, hidden: Tensor) -> Tensor:
        attention = self._block.attn
        query, key, value = attention.qkv(hidden).unflatten(-1, (3, attention.num_heads, -1)).unbind(1)
        query, key = apply_rotary_pos_emb_vision(query, key, *self._rotary)
        attended = self._chunks.attend(query, key, value, attention.scaling)
        output: Tensor = attention.proj(attended.flatten(1))
        return output


def _token_wise(patches: Tensor, merge: int, order: Tensor) -> Tensor:
    """Rows [P, ...] in another order of the tokens, the patches of a token kept together."""
    return patches.view(-1, merge * merge, *patches.shape[1:])[order].flatten(0, 1)


def _lengths(starts: Tensor) -> list[int]:
    lengths: list[int] = starts.diff().tolist()
    return lengths
