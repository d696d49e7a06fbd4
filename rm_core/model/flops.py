"""FLOPs of a forward pass from a backbone's config: what was needed, whatever a kernel really computes.

A multiplication and an addition are 2 FLOPs. Counted are the matrix products: the linear layers, and of attention the
pairs (query, key) that may attend. Norms, activations, rotary positions, the embedding lookup and the reward head are
not: together below a percent of the 3B model and less of larger ones. A backward pass takes twice its forward pass, one
product for the inputs and one for the weights; recomputed activations are not counted, as is usual for model FLOPs
utilisation (PaLM, arXiv 2204.02311, appendix B).

Legend: P tokens of the prefix, R_k of response k, E hidden size.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import torch

from data_pipeline.media.image_format import MERGE
from rm_core.model.families import family_of
from rm_core.model.tower_sizes import TowerSizes
from rm_core.packing.row_sizes import CostModel, attention_pairs

__all__ = ["Flops", "TextFlops", "VisionFlops", "cost_model", "peak_flops"]

Grid = tuple[int, int, int]
"""An image or video in patches: (pairs of frames or tiles, rows, columns); an image that is shown whole has one."""

_PEAKS = (
    ("H100 PCIe", 756e12),
    ("H100 NVL", 835e12),
    ("H100", 989e12),
    ("H200 NVL", 836e12),
    ("H200", 989e12),
    ("A100", 312e12),
    ("L40S", 362e12),
    ("GB200", 2500e12),
    ("B200", 2250e12),
)
"""Dense bf16 FLOP/s by a part of the device's name, the first that fits: NVIDIA's data sheets, without sparsity."""


@dataclass(frozen=True, kw_only=True)
class TextFlops:
    """A decoder's FLOPs for one unit of each kind.

    Attributes:
        layers: decoder layers.
        attention: of a token in one layer: query, key, value and output projections.
        mlp: of a token in one layer.
        pair: of a pair (query, key) in one layer: the score, and the value's share.
    """

    layers: int
    attention: int
    mlp: int
    pair: int

    @classmethod
    def of(cls, text: Any) -> Self:
        """From the decoder's config: grouped-query attention and a gated MLP, as all our families have."""
        head_dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
        queries, keys = text.num_attention_heads * head_dim, text.num_key_value_heads * head_dim
        return cls(
            layers=text.num_hidden_layers,
            attention=2 * text.hidden_size * (2 * queries + 2 * keys),
            mlp=2 * 3 * text.hidden_size * text.intermediate_size,
            pair=4 * queries,
        )

    def forward(self, tokens: int, pairs: int, *, last_mlp_tokens: int) -> int:
        """All layers over a row of `tokens`; the last layer's MLP runs for `last_mlp_tokens` of them."""
        linear = self.layers * self.attention * tokens + self.mlp * ((self.layers - 1) * tokens + last_mlp_tokens)
        return linear + self.layers * self.pair * pairs


@dataclass(frozen=True, kw_only=True)
class VisionFlops:
    """A vision tower's FLOPs for one unit of each kind, its mergers included.

    Attributes:
        patch: of a patch: embedding, the linear layers of all blocks, and its share of the mergers.
        pair: of a pair of patches in one block.
        full_blocks: blocks in which the patches of a frame attend to each other.
        window_blocks: blocks in which those of a window do.
        window: side of a window in patches; None: there are no windows.
        tile: patches of a tile; 0: pictures are shown whole.
        more: of the token more that a tile has in all blocks: their linear layers; 0 without tiles.
    """

    patch: int
    pair: int
    full_blocks: int
    window_blocks: int
    window: int | None
    tile: int
    more: int

    @classmethod
    def of(cls, config: Any) -> Self:
        """From the config of a backbone that sees: plain MLPs, or gated ones and windows (Qwen2.5-VL)."""
        tower = TowerSizes.of(config)
        width = tower.width
        mlp = (3 if tower.gated else 2) * width * tower.mlp
        blocks = tower.blocks * (4 * width * width + mlp)
        return cls(
            patch=2 * (tower.patch_values * width + blocks + tower.mergers * tower.merger // MERGE**2),
            pair=4 * width,
            full_blocks=tower.full_blocks,
            window_blocks=tower.blocks - tower.full_blocks,
            window=tower.window,
            tile=tower.tile,
            more=2 * blocks if tower.tile else 0,
        )

    def forward(self, grids: Iterable[Grid]) -> int:
        """The tower over these images; attention never leaves a pair of frames, or a tile."""
        total, one = 0, int(self.tile > 0)
        for frames, rows, columns in grids:
            total += (self.patch * rows * columns + self.more) * frames
            total += self.pair * self.full_blocks * frames * (rows * columns + one) ** 2
            if self.window is not None:
                pairs = _squares_of_parts(rows, self.window) * _squares_of_parts(columns, self.window)
                total += self.pair * self.window_blocks * frames * pairs
        return total

    @property
    def costs(self) -> tuple[float, float]:
        """Of a patch, and of a pair of patches of one frame, as if all windows were whole.

        A tile's patches attend to as many others wherever they are, so that theirs are in the first.
        """
        if self.tile:
            return self.forward([(1, self.tile, 1)]) / self.tile, 0.0
        window = (self.window or 0) ** 2
        return self.patch + self.window_blocks * self.pair * window, self.full_blocks * self.pair


@dataclass(frozen=True, kw_only=True)
class Flops:
    """FLOPs of forward passes of one backbone.

    Attributes:
        text: of the decoder.
        vision: of the tower; None where the backbone reads text only.
    """

    text: TextFlops
    vision: VisionFlops | None

    @classmethod
    def of(cls, config: Any) -> Self:
        """From the Transformers config of a backbone.

        Raises:
            RecipeError: of a type that no family has.
        """
        family = family_of(config.model_type)
        vision = VisionFlops.of(config) if family.has_vision else None
        return cls(text=TextFlops.of(family.text_config(config)), vision=vision)

    def forward(
        self, prefix: int, responses: Sequence[int], grids: Sequence[Grid] = (), *, pooled_last_layer: bool = True
    ) -> float:
        """One Comparison in a packed row: prefix and images once, the allowed pairs of attention only.

        Args:
            prefix: tokens of the prompt, image tokens included.
            responses: tokens of each response.
            grids: its distinct images and videos.
            pooled_last_layer: the last layer's MLP runs for one token a response, as `rm_core.model.decoder` does
                it where pooling is "last"; False: for all tokens.
        """
        tokens = prefix + sum(responses)
        last = len(responses) if pooled_last_layer else tokens
        text = self.text.forward(tokens, attention_pairs(prefix, responses), last_mlp_tokens=last)
        return float(text + self._vision(grids))

    def forward_separate(
        self, prefix: int, responses: Sequence[int], grids: Sequence[Grid] = (), *, padded_to: int | None = None
    ) -> float:
        """The same Comparison as K full sequences, prompt and images computed for each: what the packed row saves.

        All layers run over all tokens, as a plain forward pass of the backbone does; causal pairs only.

        Args:
            grids: the prompt's images and videos.
            padded_to: tokens of every sequence with its padding; unset: no padding.

        Raises:
            ValueError: a sequence is longer than `padded_to`.
        """
        lengths = [prefix + length for length in responses]
        if padded_to is not None:
            if max(lengths) > padded_to:
                raise ValueError(f"a sequence of {max(lengths)} tokens does not fit into padded_to={padded_to}")
            lengths = [padded_to] * len(lengths)
        text = sum(self.text.forward(n, n * (n + 1) // 2, last_mlp_tokens=n) for n in lengths)
        return float(text + len(responses) * self._vision(grids))

    def _vision(self, grids: Sequence[Grid]) -> int:
        if self.vision is None:
            if grids:
                raise ValueError(f"a backbone that reads text only was given {len(grids)} images")
            return 0
        return self.vision.forward(grids)


def cost_model(config: Any) -> CostModel:
    """What `PlanningTable` needs to know of the backbone with this Transformers config.

    Its cost is `Flops.forward` of a Comparison, as if all windows of the tower were whole.

    Raises:
        RecipeError: of a type that no family has.
    """
    flops = Flops.of(config)
    text = flops.text
    patch, patch_pair = flops.vision.costs if flops.vision is not None else (0, 0)
    return CostModel(
        token=text.layers * text.attention + (text.layers - 1) * text.mlp,
        response=text.mlp,
        attention_pair=text.layers * text.pair,
        patch=patch,
        patch_pair=patch_pair,
    )


def peak_flops(device_name: str, dtype: torch.dtype) -> float | None:
    """Dense FLOP/s of a GPU's matrix units by its name in CUDA ("NVIDIA H100 80GB HBM3"): 989e12; None: not known.

    Known are 16-bit types; a float32 product runs on other units, or as TF32, by a setting.
    """
    if dtype not in (torch.bfloat16, torch.float16):
        return None
    return next((peak for part, peak in _PEAKS if part in device_name), None)


def _squares_of_parts(length: int, part: int) -> int:
    """`length` cut into parts with a shorter last one: the sum of their squares. 10 in parts of 4: 16 + 16 + 4 = 36."""
    whole, rest = divmod(length, part)
    return whole * part**2 + rest**2
