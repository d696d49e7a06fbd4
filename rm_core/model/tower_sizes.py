"""The numbers of a vision tower, whatever its Transformers config calls them."""

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["TowerSizes"]


@dataclass(frozen=True, kw_only=True)
class TowerSizes:
    """Of one tower.

    Attributes:
        width: of its hidden states.
        mlp: width of the MLP inside a block.
        gated: whether that MLP has a gate (Qwen2.5-VL).
        rms: whether its norms are RMSNorms (Qwen2.5-VL, InternViT-6B).
        normed_heads: whether queries and keys are normalised too (InternViT-6B).
        output: hidden size of the language model.
        blocks, heads: how many.
        full_blocks: blocks in which the patches of a frame attend to each other; in the others those of a window do.
        window: side of a window in patches; None: there are none.
        tile: patches of a tile, which has one token more in each block (InternVL); 0: pictures are shown whole.
        mergers: of the last block, and of the middle ones that Qwen3-VL has mergers for.
        merger: weights of one, without biases and norms.
        patch_values: numbers of one patch: 3 colours x 2 frames x 14 x 14 = 1,176.
    """

    width: int
    mlp: int
    gated: bool = False
    rms: bool = False
    normed_heads: bool = False
    output: int
    blocks: int
    heads: int
    full_blocks: int
    window: int | None = None
    tile: int = 0
    mergers: int = 1
    merger: int
    patch_values: int

    @classmethod
    def of(cls, config: Any) -> Self:
        """From the config of a backbone that sees."""
        if config.model_type == "internvl":
            return cls._of_tiles(config)
        vision = config.vision_config
        windowed = hasattr(vision, "window_size")
        # Qwen2-VL names the tower's own width embed_dim, and the language model's hidden_size.
        plain = hasattr(vision, "embed_dim")
        width = vision.embed_dim if plain else vision.hidden_size
        output = vision.hidden_size if plain else vision.out_hidden_size
        merged = width * vision.spatial_merge_size**2
        return cls(
            width=width,
            mlp=int(width * vision.mlp_ratio) if plain else vision.intermediate_size,
            gated=windowed,
            rms=windowed,
            output=output,
            blocks=vision.depth,
            heads=vision.num_heads,
            full_blocks=len(vision.fullatt_block_indexes) if windowed else vision.depth,
            window=vision.window_size // vision.patch_size if windowed else None,
            mergers=1 + len(getattr(vision, "deepstack_visual_indexes", ())),
            merger=merged * merged + merged * output,
            patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        )

    @classmethod
    def _of_tiles(cls, config: Any) -> Self:
        vision, output = config.vision_config, config.text_config.hidden_size
        (height, width), (rows, columns) = vision.image_size, vision.patch_size
        merged = round(vision.hidden_size / config.downsample_ratio**2)
        return cls(
            width=vision.hidden_size,
            mlp=vision.intermediate_size,
            rms=vision.norm_type == "rms_norm",
            normed_heads=vision.use_qk_norm,
            output=output,
            blocks=vision.num_hidden_layers,
            heads=vision.num_attention_heads,
            full_blocks=vision.num_hidden_layers,
            tile=(height // rows) * (width // columns),
            merger=merged * output + output * output,
            patch_values=vision.num_channels * rows * columns,
        )
