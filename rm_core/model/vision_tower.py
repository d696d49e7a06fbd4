"""The vision tower of Qwen2-VL, Qwen2.5-VL and Qwen3-VL over the distinct images of a packed row.

Transformers' own modules, called in their own order, with one difference: sequences (windows, frames) of one length
attend in one call, and every index is made in the loader (`rm_core.batches.vision_indices`), so that a GPU never
waits for Python. Transformers calls its attention once a window: a picture of 448 x 448 pixels has 16 windows, a row
of a GPU hundreds, times the tower's layers.

Legend: P patches, V tokens that come out (P / 4), E hidden size of the language model, H heads, D head dimension.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from rm_core.batches.vision_indices import Groups, VisionIndices
from rm_core.model.attention.work import Work
from rm_core.model.rotary import Tables, rotate, tables_of
from rm_core.model.running import Running, run_layer, tracked

__all__ = ["PackedBlock", "PatchProduct", "attend_in_groups", "run_vision_tower", "use_patch_product"]


def attend_in_groups(groups: Groups, query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
    """[P, H, D] from query, key and value [P, H, D]."""
    if groups.back is None:
        return _attend(query, key, value, groups.lengths[0], scale)
    attended = [
        _attend(query[index], key[index], value[index], length, scale)
        for length, index in zip(groups.lengths, groups.gathered, strict=True)
    ]
    return torch.cat(attended)[groups.back]


def _attend(query: Tensor, key: Tensor, value: Tensor, length: int, scale: float) -> Tensor:
    """Attention of sequences of one length, standing one behind the other."""
    shape = (-1, length, *query.shape[1:])
    queries, keys, values = (part.view(shape).transpose(1, 2) for part in (query, key, value))
    return scaled_dot_product_attention(queries, keys, values, scale=scale).transpose(1, 2).flatten(0, 1)


class PackedBlock:
    """Stands before one of Transformers' blocks of the tower (`rm_core.model.swapped`).

    A call without `groups` goes through Transformers' own code.
    """

    norm1: nn.Module
    norm2: nn.Module
    attn: Any
    mlp: nn.Module

    def forward(
        self, hidden_states: Tensor, *arguments: Any, groups: Groups | None = None, tables: Tables | None = None,
        running: Running | None = None, **named: Any,
    ) -> Any:  # fmt: skip
        """[P, width] from [P, width]."""
        if groups is None or tables is None or running is None:
            parent: Any = super()
            return parent.forward(hidden_states, *arguments, **named)
        attend = partial(attend_in_groups, groups, scale=self.attn.scaling)
        return run_layer(self, hidden_states, tables, attend, running)

    def before_attention(self, hidden: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value [P, H, D]."""
        joint = self.attn.qkv(self.norm1(hidden)).unflatten(-1, (3, self.attn.num_heads, -1))
        turned, value = joint.split((2, 1), dim=1)
        query, key = rotate(turned, tables).unbind(1)
        return query, key, value.squeeze(1)

    def after_attention(self, hidden: Tensor, attended: Tensor, pooled: Tensor | None = None) -> Tensor:
        """The block's output; there is no pooling in the tower."""
        assert pooled is None
        hidden = hidden + self.attn.proj(attended.flatten(1))
        output: Tensor = hidden + self.mlp(self.norm2(hidden))
        return output


def run_vision_tower(
    tower: Any, pixels: Tensor, indices: VisionIndices, running: Running, work: Work
) -> tuple[Tensor, ...]:
    """Features [V, E] of all images, image by image, each row by row: of the last block, then of the middle ones that
    Qwen3-VL has mergers for.

    Args:
        tower: Transformers' tower of Qwen2-VL, Qwen2.5-VL or Qwen3-VL, whose blocks are `PackedBlock`s.
        pixels: [P, 1176], or [P, 1536] for Qwen3-VL, in the type of the weights.
        indices: of the row, on the device of `pixels`.
        work: is told of every block.

    Raises:
        TypeError: the tower has windows or a table of places and the indices have not, or the other way round.
    """
    _check_indices(tower, indices)
    hidden = tower.patch_embed(pixels)
    if indices.places is not None and indices.shares is not None:
        learnt = (tower.pos_embed(indices.places) * indices.shares[..., None]).sum(dim=1)
        hidden = hidden + learnt.to(hidden.dtype)
    # In float32 whatever the weights are; the axis after the first is that of queries and keys.
    tables = Tables(*(table[:, None] for table in tables_of(*tower.rotary_pos_emb(hidden, indices.positions))))
    if indices.order is not None:
        # Patches of one window stand together, and so do the four patches of one token.
        hidden = hidden.view(-1, tower.spatial_merge_size**2, hidden.shape[1])[indices.order].flatten(0, 1)
    middle = list(getattr(tower, "deepstack_visual_indexes", ()))
    deeper: list[Tensor] = []
    for index, block in enumerate(tower.blocks):
        whole_frames = indices.order is None or index in tower.fullatt_block_indexes
        groups = indices.frames if whole_frames else indices.windows
        work.block(len(hidden))
        hidden = block(tracked(block, hidden), groups=groups, tables=tables, running=running)
        if index in middle:
            deeper.append(tower.deepstack_merger_list[middle.index(index)](hidden))
    features: Tensor = tower.merger(hidden)
    return (features if indices.back is None else features[indices.back], *deeper)


def _check_indices(tower: Any, indices: VisionIndices) -> None:
    for given, needed, what in (
        (indices.order is not None, bool(getattr(tower, "window_size", None)), "windows"),
        (indices.places is not None, hasattr(tower, "pos_embed"), "learnt places"),
    ):
        if given != needed:
            raise TypeError(
                f"a {type(tower).__name__} got indices {'with' if given else 'without'} {what}: make rows with the "
                "model's own row_format"
            )


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
