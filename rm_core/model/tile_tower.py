"""InternViT over the tiles of a packed row's distinct pictures (arXiv 2312.14238, section 3.2; 2404.16821).

    pixels [P, 588] -> patches, one token more in front of each tile, places -> blocks, each tile for itself
    -> without that token, four patches to a vision token (pixel unshuffle) -> projector -> [V, E]

Transformers' own modules, called in their own order, with two differences: the patches of a vision token stand
together from the loader on, so that the pixel unshuffle is a view; and blocks see one axis of tokens, all tiles
behind each other, as those of the other towers do.

Legend: N tiles, P patches (N x S x S), S side of a tile in patches, V vision tokens (P / 4), C width of the tower,
E hidden size of the language model, H heads, D head dimension.
"""

from functools import partial
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from rm_core.batches.vision_indices import Groups
from rm_core.model.attention.work import Work
from rm_core.model.padded_linear import padded_width
from rm_core.model.rotary import Tables
from rm_core.model.running import Running, run_layer, tracked
from rm_core.model.swapped import stand_before
from rm_core.model.vision_tower import attend_in_groups

__all__ = ["TileBlock", "TileEmbeddings", "prepare_tile_tower", "run_tile_tower"]

_MERGE = 2
_NO_ROTATION = Tables(torch.empty(0), torch.empty(0))
"""Its attention knows places only from the embeddings."""


class TileBlock:
    """Stands before one of Transformers' blocks of the tower (`rm_core.model.swapped`).

    A call without `groups` goes through Transformers' own code.
    """

    layernorm_before: nn.Module
    layernorm_after: nn.Module
    attention: Any
    mlp: nn.Module
    lambda_1: Tensor
    lambda_2: Tensor

    def forward(
        self, hidden_states: Tensor, *arguments: Any, groups: Groups | None = None, running: Running | None = None,
        **named: Any,
    ) -> Any:  # fmt: skip
        """[N (1 + S S), C] from the same."""
        if groups is None or running is None:
            parent: Any = super()
            return parent.forward(hidden_states, *arguments, **named)
        attend = partial(attend_in_groups, groups, scale=self.attention.scale)
        return run_layer(self, hidden_states, _NO_ROTATION, attend, running)

    def before_attention(self, hidden: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:  # noqa: ARG002
        """Query, key and value [T, H, D]; there are no rotary positions."""
        own = self.attention
        normed = self.layernorm_before(hidden)
        query, key, value = own.q_norm(own.q_proj(normed)), own.k_norm(own.k_proj(normed)), own.v_proj(normed)
        queries, keys, values = (part.unflatten(-1, (own.num_heads, -1)) for part in (query, key, value))
        return queries, keys, values

    def after_attention(self, hidden: Tensor, attended: Tensor, pooled: Tensor | None = None) -> Tensor:
        """The block's output; there is no pooling in the tower."""
        assert pooled is None
        hidden = hidden + self.lambda_1 * self.attention.projection_layer(attended.flatten(1))
        output: Tensor = hidden + self.lambda_2 * self.mlp(self.layernorm_after(hidden))
        return output


class TileEmbeddings:
    """Stands before Transformers' embeddings of the tower.

    A call without `side` goes through Transformers' own code.
    """

    cls_token: Tensor
    position_embeddings: Tensor
    patch_embeddings: Any

    def forward(self, pixel_values: Tensor, *arguments: Any, side: int | None = None, **named: Any) -> Any:
        """[N, 1 + S S, C] from patches [P, 588], of which four that merge into one token stand together."""
        if side is None:
            parent: Any = super()
            return parent.forward(pixel_values, *arguments, **named)
        patches = self.patch_embeddings.projection(pixel_values).unflatten(0, (-1, side * side))
        learnt = self.position_embeddings[0]
        classes = (self.cls_token[0] + learnt[:1]).expand(len(patches), 1, -1)
        return torch.cat((classes, patches + _by_token(learnt[1:], side)), dim=1)


class PatchProduct2d(nn.Conv2d):
    """The patch embedding of flattened patches, as the matrix product that it is; of pictures the convolution.

    Rows of 588 numbers are no multiple of 16 bytes in bf16: on a GPU both factors are filled up with zeros.
    """

    def forward(self, input: Tensor) -> Tensor:
        """[P, C] from [P, 588]; or what a convolution gives."""
        if input.dim() != 2:
            pictures: Tensor = super().forward(input)
            return pictures
        weight = self.weight.flatten(1)
        if more := padded_width(input.shape[1], input.device) - input.shape[1]:
            input, weight = pad(input, (0, more)), pad(weight, (0, more))
        return linear(input, weight, self.bias)


def _by_token(places: Tensor, side: int) -> Tensor:
    """[S S, C] of the first S rows and columns of a square table of places, four patches of a token together.

    S is the table's side, but for the blank picture of a row without pictures, which has one token.
    """
    table, pairs = isqrt(len(places)), side // _MERGE
    square = places.view(table, table, -1)[:side, :side]
    return square.reshape(pairs, _MERGE, pairs, _MERGE, -1).transpose(1, 2).flatten(0, 3)


def prepare_tile_tower(tower: Any) -> None:
    """Let a tower of Transformers run as `run_tile_tower` calls it; its weights and names stay."""
    stand_before(tower.embeddings, TileEmbeddings)
    tower.embeddings.patch_embeddings.projection.__class__ = PatchProduct2d
    for block in tower.encoder.layer:
        stand_before(block, TileBlock)


def run_tile_tower(backbone: Any, pixels: Tensor, side: int, running: Running, work: Work) -> Tensor:
    """Features [V, E] of all tiles, tile by tile, each row by row.

    Args:
        backbone: Transformers' InternVL, prepared.
        pixels: [P, 588], in the type of the weights.
        side: of a tile in patches.
        work: is told of every block.
    """
    tower = backbone.vision_tower
    embedded = tower.embeddings(pixels, side=side)
    groups = Groups((embedded.shape[1],), (), None)
    hidden = embedded.flatten(0, 1)
    for block in tower.encoder.layer:
        work.block(len(pixels))
        hidden = block(tracked(block, hidden), groups=groups, running=running)
    patches = tower.layernorm(hidden.view(embedded.shape)[:, 1:])
    features: Tensor = backbone.multi_modal_projector(patches.reshape(-1, _MERGE**2 * patches.shape[-1]))
    return features
