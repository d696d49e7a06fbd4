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
        gated: whether that MLP has a gate, and norms are RMSNorms (Qwen2.5-VL).
        output: hidden size of the language model.
        blocks, heads: how many.
        full_blocks: blocks in which the patches of a frame attend to each other; in the others those of a window do.
        window: side of a window in patches; None: there are none.
        mergers: of the last block, and of the middle ones that Qwen3-VL has mergers for.
        patch_values: numbers of one patch: 3 colours x 2 frames x 14 x 14 = 1,176.
    """

    width: int
    mlp: int
    gated: bool
    output: int
    blocks: int
    heads: int
    full_blocks: int
    window: int | None
    mergers: int
    patch_values: int

    @classmethod
    def of(cls, vision: Any) -> Self:
        """From the config of Qwen2-VL's tower, Qwen2.5-VL's or Qwen3-VL's."""
        windowed = hasattr(vision, "window_size")
        # Qwen2-VL names the tower's own width embed_dim, and the language model's hidden_size.
        plain = hasattr(vision, "embed_dim")
        width = vision.embed_dim if plain else vision.hidden_size
        return cls(
            width=width,
            mlp=int(width * vision.mlp_ratio) if plain else vision.intermediate_size,
            gated=windowed,
            output=vision.hidden_size if plain else vision.out_hidden_size,
            blocks=vision.depth,
            heads=vision.num_heads,
            full_blocks=len(vision.fullatt_block_indexes) if windowed else vision.depth,
            window=vision.window_size // vision.patch_size if windowed else None,
            mergers=1 + len(getattr(vision, "deepstack_visual_indexes", ())),
            patch_values=vision.in_channels * vision.temporal_patch_size * vision.patch_size**2,
        )
