"""Qwen2-VL (arXiv 2409.12191) and Qwen2.5-VL (arXiv 2502.13923)."""

from typing import Any, ClassVar

from torch import Tensor
from transformers import (
    PretrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLModel,
    Qwen2VLConfig,
    Qwen2VLModel,
)

from rm_core.batches.packed import PackedBatch
from rm_core.batches.positions import RowFormat
from rm_core.model.attention.work import Work
from rm_core.model.families.base import Family
from rm_core.model.padded_linear import pad_mlp
from rm_core.model.running import Running
from rm_core.model.swapped import stand_before
from rm_core.model.vision_tower import PackedBlock, run_vision_tower, use_patch_product

__all__ = ["Qwen2VL", "Qwen25VL"]


class Qwen2VL(Family):
    """A tower whose every block attends to a whole frame; time positions count pairs of frames."""

    model_type = "qwen2_vl"
    config_class: ClassVar[type[PretrainedConfig]] = Qwen2VLConfig
    model_class: ClassVar[type[PreTrainedModel]] = Qwen2VLModel
    has_vision = True

    def prepare(self, backbone: Any) -> None:
        super().prepare(backbone)
        use_patch_product(backbone.visual)
        for block in backbone.visual.blocks:
            stand_before(block, PackedBlock)

    def row_format(self, config: Any, /) -> RowFormat:
        vision = config.vision_config
        return RowFormat(
            image_token=config.image_token_id,
            video_token=config.video_token_id,
            time_per_second=getattr(vision, "tokens_per_second", None),
            images=self.images,
            window=getattr(vision, "window_size", 0) // (vision.patch_size * vision.spatial_merge_size),
        )

    def rotary_positions(self, batch: PackedBatch) -> Tensor:
        return batch.position_ids[:, None]

    def group_of(self, name: str) -> str:
        if name.startswith("visual.merger."):
            return "merger"
        if name.startswith("visual."):
            return "vision"
        return "embeddings" if ".embed_tokens." in name else "language"

    def image_features(
        self, backbone: Any, batch: PackedBatch, dtype: Any, *, running: Running, work: Work
    ) -> tuple[Tensor, ...]:
        pixels = batch.pixel_values.to(dtype)
        if batch.vision is None:
            raise TypeError("the row carries no indices for a tower: make it with the model's own row_format")
        return run_vision_tower(backbone.visual, pixels, batch.vision, running, work)


class Qwen25VL(Qwen2VL):
    """A tower with windows of 112 pixels in most blocks; time positions count seconds."""

    model_type = "qwen2_5_vl"
    config_class = Qwen2_5_VLConfig
    model_class = Qwen2_5_VLModel

    def prepare(self, backbone: Any) -> None:
        super().prepare(backbone)
        for block in backbone.visual.blocks:
            pad_mlp(block.mlp)
