"""InternVL3 (arXiv 2504.10479) and InternVL3.5 (arXiv 2508.18265) in their Transformers form, the dense sizes."""

from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor
from transformers import InternVLConfig, InternVLModel, PretrainedConfig, PreTrainedModel

from data_pipeline.errors import RecipeError
from data_pipeline.media import INTERNVL
from rm_core.batches.packed import PackedBatch
from rm_core.batches.positions import RowFormat
from rm_core.model.attention.work import Work
from rm_core.model.families.base import Family
from rm_core.model.running import Running
from rm_core.model.tile_tower import prepare_tile_tower, run_tile_tower

__all__ = ["InternVL"]

_DECODERS = ("qwen2", "qwen3")
_NO_VIDEOS = -1
_SUPPORTED = {
    "downsample_ratio": 0.5,
    "vision_feature_layer": -1,
    "vision_feature_select_strategy": "default",
    "vision_config.use_absolute_position_embeddings": True,
    "vision_config.use_mask_token": False,
    "vision_config.hidden_dropout_prob": 0,
    "vision_config.attention_dropout": 0,
    "vision_config.projection_dropout": 0,
}
"""What all published sizes have, and nothing else is computed."""


class InternVL(Family):
    """A tower over square tiles, each for itself, in front of Qwen2.5's or Qwen3's decoder.

    Its rotary positions count tokens, those of pictures too. There are no videos.
    """

    model_type = "internvl"
    config_class: ClassVar[type[PretrainedConfig]] = InternVLConfig
    model_class: ClassVar[type[PreTrainedModel]] = InternVLModel
    has_vision = True
    writes = False
    images = INTERNVL

    def prepare(self, backbone: Any) -> None:
        super().prepare(backbone)
        prepare_tile_tower(backbone.vision_tower)
        rotary = self.decoder(backbone).rotary_emb
        if rotary.rope_type == "dynamic":
            # Up to `RowFormat.longest` the frequencies are the plain ones, and to look at each row's positions for
            # that would make a GPU wait.
            rotary.rope_type = "default"

    def row_format(self, config: Any, /) -> RowFormat:
        _check_supported(config)
        vision, text = config.vision_config, config.text_config
        dynamic = text.rope_parameters["rope_type"] == "dynamic"
        return RowFormat(
            image_token=config.image_token_id,
            video_token=_NO_VIDEOS,
            mrope=False,
            longest=text.max_position_embeddings if dynamic else None,
            images=replace(self.images, tile=vision.image_size[0], patch=vision.patch_size[0]),
        )

    def rotary_positions(self, batch: PackedBatch) -> Tensor:
        # Without M-RoPE the three positions are equal.
        return batch.position_ids[:1]

    def group_of(self, name: str) -> str:
        if name.startswith("multi_modal_projector."):
            return "merger"
        if name.startswith("vision_tower."):
            return "vision"
        return "embeddings" if ".embed_tokens." in name else "language"

    def num_vision_blocks(self, backbone: Any) -> int:
        return len(backbone.vision_tower.encoder.layer)

    def image_features(
        self, backbone: Any, batch: PackedBatch, dtype: Any, *, running: Running, work: Work
    ) -> tuple[Tensor, ...]:
        side = int(batch.image_grid[0, 1])  # on the CPU; tiles are of one size
        return (run_tile_tower(backbone, batch.pixel_values.to(dtype), side, running, work),)


def _check_supported(config: Any) -> None:
    """Refuse a model that this code would compute as if it were another."""
    if (decoder := config.text_config.model_type) not in _DECODERS:
        raise RecipeError(
            f"the backbone's decoder is a {decoder}; InternVL is known with {' and '.join(_DECODERS)}: take another "
            "of its sizes"
        )
    for name, wanted in _SUPPORTED.items():
        holder = config.vision_config if name.startswith("vision_config.") else config
        value = getattr(holder, name.removeprefix("vision_config."))
        if value != wanted:
            raise RecipeError(f"the backbone's config has {name}={value!r}: only {wanted!r} is supported")
    vision = config.vision_config
    (height, width), (patch, other) = vision.image_size, vision.patch_size
    if height != width or patch != other or height % (2 * patch):
        raise RecipeError(
            f"the backbone's tower has tiles of {height} x {width} pixels and patches of {patch} x {other}: only "
            "square ones, of an even number of patches a side, are supported"
        )
