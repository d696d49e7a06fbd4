"""Bytes of activations of one packed row: what the backward pass needs of the forward pass.

Counted from the layers as they are run by `rm_core.model.decoder` and `vision_tower`; s bytes of an activation (2 in
bf16), h hidden size, i width of the MLP, q and k widths of all query and all key heads, for one token of one layer:

    two norms                  2 (s h + s h + 4)        input, what is given out, the inverse of the root mean square
    queries, keys, values      s (q + 2 k)
    attention's output         s q + 4 heads            with the sums of its softmax
    MLP                        4 s i                    gate, its SiLU, up, their product

The 7B decoder in bf16: 28,680 + 9,216 + 7,280 + 151,552 = 196,728 bytes a token and layer, of which "full"
checkpointing keeps the layer's input alone, 7,168 bytes, and "selective" also what products and attention give out:

    queries, keys, values; attention; its output; gate, up, down    s (q + 2 k) + s q + 4 heads + s h + s (2 i + h)

7,168 + 9,216 + 7,280 + 7,168 + 82,944 = 113,776 bytes. The last layer has no MLP but for the tokens that are pooled.
Compiled parts keep no more than that. On CPUs a norm takes the single steps of Transformers, and keeps 4 h in float32
and s h, what is scaled, in place of its input; on GPUs the tower's MLP is as wide as it is computed
(`rm_core.model.padded_linear`).

A model that writes may need the last layer's MLP of every token, and while its loss is run backward a chunk of logits
in float32 (`rm_core.model.language_head`), what their softmax gives out, and their gradient.
Legend: T tokens, P patches.
"""

from dataclasses import dataclass
from typing import Any

import torch

from rm_core.model.language_head import chunk_tokens
from rm_core.model.padded_linear import padded_width
from rm_core.model.tower_sizes import TowerSizes
from rm_core.planner.architecture import Architecture
from rm_core.planner.setting import Row, Setting

_GPU = torch.device("cuda")

__all__ = ["Activations", "Kept", "activations_of", "decoder_layer", "vision_block"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """Bytes that one layer keeps for its backward pass, for one token or patch.

    Attributes:
        whole: of all its operations.
        attention: of the attention half alone, its norm included.
        input: of what it is given, which is all that recomputation needs.
        products: of what its matrix products and its attention give out, which selective recomputation keeps too.
        attention_products: those of the attention half alone.
        gradients: of the gradients that are there at once while it is run backward.
    """

    whole: int
    attention: int
    input: int
    products: int
    attention_products: int
    gradients: int

    def of(self, recompute: str) -> int:
        """Kept from the forward to the backward pass."""
        return {"none": self.whole, "selective": self.input + self.products, "full": self.input}[recompute]

    def of_attention(self, recompute: str) -> int:
        """Likewise, of the attention half alone."""
        selective = self.input + self.attention_products
        return {"none": self.attention, "selective": selective, "full": self.input}[recompute]

    def again(self, recompute: str) -> int:
        """Made while the layer is run backward, beside what was kept."""
        kept = {"none": self.whole, "selective": self.products, "full": 0}[recompute]
        return self.gradients + max(0, self.whole - kept)


@dataclass(frozen=True, kw_only=True)
class Activations:
    """Bytes of one row.

    Attributes:
        inputs: the row itself: pixels, and what a token needs to be found.
        decoder: kept of all decoder layers, from the embeddings on.
        vision: kept of the tower and its mergers.
        working: made while one layer is run backward: its recomputed activations, and gradients.
    """

    inputs: int
    decoder: int
    vision: int
    working: int

    @property
    def kept(self) -> int:
        """What autograd keeps between the forward and the backward pass."""
        return self.decoder + self.vision


def activations_of(arch: Architecture, setting: Setting, row: Row) -> Activations:
    """Bytes of the activations of `row`."""
    size, recompute = setting.itemsize, setting.recompute
    layer = decoder_layer(arch.text, size, kernel=setting.kernel, fused=setting.fused)
    decoder = row.tokens * (arch.text.num_hidden_layers - 1) * layer.of(recompute)
    decoder += row.tokens * layer.of_attention(recompute)
    pooled = row.tokens if arch.vocabulary else row.pooled
    decoder += pooled * (layer.of(recompute) - layer.of_attention(recompute))
    decoder += 2 * size * _head_dim(arch.text) * row.tokens
    working = row.tokens * layer.again(recompute)
    vision, working_vision = (0, 0) if arch.tower is None else _tower(arch, arch.tower, setting, row)
    inputs = 64 * row.tokens + (0 if arch.tower is None else size * arch.tower.patch_values * row.patches)
    logits = 3 * 4 * arch.vocabulary * min(row.tokens, chunk_tokens(arch.vocabulary)) if arch.vocabulary else 0
    return Activations(inputs=inputs, decoder=decoder, vision=vision, working=max(working, working_vision, logits))


def decoder_layer(text: Any, size: int, *, kernel: str, fused: bool = True) -> Kept:
    """Of a decoder layer for one token: pre-norm, grouped-query attention, gated MLP.

    Args:
        fused: norms are one kernel.
    """
    hidden, queries = text.hidden_size, text.num_attention_heads * _head_dim(text)
    keys = text.num_key_value_heads * _head_dim(text)
    norm = _norm(hidden, size, fused=fused)
    attention = size * (2 * queries + 2 * keys) + 4 * text.num_attention_heads
    if kernel == "sdpa":
        # Keys and values once more for the other responses, and the outputs of the calls before they are joined.
        attention += size * (queries + 2 * keys)
    if text.model_type in ("qwen3", "qwen3_vl_text"):  # queries and keys are normalised
        heads = text.num_attention_heads + text.num_key_value_heads
        attention += size * (queries + keys) + 4 * heads if fused else (4 + size) * (queries + keys)
    mlp = 4 * size * text.intermediate_size
    attended = size * (2 * queries + 2 * keys + hidden) + 4 * text.num_attention_heads
    return Kept(
        whole=2 * norm + attention + mlp,
        attention=norm + attention,
        input=size * hidden,
        products=attended + size * (2 * text.intermediate_size + hidden),
        attention_products=attended,
        gradients=3 * size * text.intermediate_size + (8 + 2 * size) * hidden,
    )


def vision_block(tower: TowerSizes, size: int, *, fused: bool = True) -> Kept:
    """Of a block of the tower for one patch: norms, attention of as many key heads as query heads, an MLP.

    Blocks over tiles have no rotary positions, and scale what attention and MLP give.

    Args:
        fused: norms are one kernel, and a gated MLP is as wide as a GPU computes it.
    """
    width = tower.width
    # LayerNorm works in the type of its input, and is one kernel everywhere.
    norm = _norm(width, size, fused=fused) if tower.rms else 2 * size * width
    inside = padded_width(tower.mlp, _GPU) if tower.gated and fused else tower.mlp
    attention = (5 if tower.tile else 6) * size * width + 4 * tower.heads
    if tower.normed_heads:
        attention += 2 * (_norm(width, size, fused=fused) - size * width)
    mlp = (4 if tower.gated else 2) * size * inside + (size * width if tower.tile else 0)
    wide = (2 if tower.gated else 1) * inside
    attended = 5 * size * width + 4 * tower.heads
    return Kept(
        whole=2 * norm + attention + mlp,
        attention=norm + attention,
        input=size * width,
        products=attended + size * (wide + width),
        attention_products=attended,
        gradients=3 * mlp // 4 + (8 + 2 * size) * width,
    )


def _tower(arch: Architecture, tower: TowerSizes, setting: Setting, row: Row) -> tuple[int, int]:
    """Bytes kept of the tower and its mergers, and made while one of its blocks is run backward."""
    size = setting.itemsize
    block = vision_block(tower, size, fused=setting.fused)
    width = tower.width
    # In a tile one token more goes through the blocks.
    through = row.patches * (1 + (1 / tower.tile if tower.tile else 0))
    merger = _merger(tower, size, stepwise=tower.gated and not setting.fused)
    if "vision" not in arch.trained_parts:  # nothing of it is run backward
        kept = row.patches * merger if "merger" in arch.trained_parts else 0
        return kept, round(through * block.gradients)
    kept = tower.blocks * block.of(setting.recompute)
    if tower.tile:
        pixels = size * (padded_width(tower.patch_values, _GPU) if setting.fused else tower.patch_values)
        rotary = 0
    else:
        pixels, rotary = size * tower.patch_values, 2 * 4 * (width // tower.heads)
    working = round(through * block.again(setting.recompute))
    return round(row.patches * (pixels + merger + rotary) + through * kept), working


def _merger(tower: TowerSizes, size: int, *, stepwise: bool) -> int:
    """Of all mergers for one patch; `stepwise`: a norm keeps what its single steps give."""
    width = tower.width
    if tower.tile:  # four patches without the token more, normalised; two layers as wide as the language model
        return 2 * size * width + size * tower.output // 2
    # What one of a middle block is given is kept already, as the input of the next block.
    return ((4 + 4 * size) if stepwise else 4 * size) * width + (tower.mergers - 1) * 3 * size * width


def _norm(width: int, size: int, *, fused: bool) -> int:
    """RMSNorm: its input and what it gives out; in single steps also both in between, one of them in float32."""
    return (2 * size if fused else 4 + 2 * size) * width + 4


def _head_dim(text: Any) -> int:
    return int(getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads)
