"""Qwen3-VL, the dense sizes (arXiv 2511.21631): Qwen3 with the features of three blocks of its tower."""

from dataclasses import replace
from math import isqrt
from typing import Any, ClassVar

from transformers import PretrainedConfig, PreTrainedModel, Qwen3VLConfig, Qwen3VLModel

from data_pipeline.errors import RecipeError
from data_pipeline.media import QWEN3_VL
from rm_core.batches.positions import RowFormat
from rm_core.model.families.qwen_vl import Qwen2VL

__all__ = ["Qwen3VL"]


class Qwen3VL(Qwen2VL):
    """A tower without windows, with learnt places beside rotary ones.

    Features of some of its middle blocks are added to the image tokens behind the first decoder layers. M-RoPE's three
    positions take turns column by column, and the steps of a video stand apart, each behind its time as text.
    """

    model_type = "qwen3_vl"
    config_class: ClassVar[type[PretrainedConfig]] = Qwen3VLConfig
    model_class: ClassVar[type[PreTrainedModel]] = Qwen3VLModel
    images = QWEN3_VL

    def row_format(self, config: Any, /) -> RowFormat:
        vision, layers = config.vision_config, config.text_config.num_hidden_layers
        if (added := len(vision.deepstack_visual_indexes)) >= layers:
            raise RecipeError(
                f"the backbone adds features of {added} blocks of its tower (deepstack_visual_indexes) behind as many "
                f"decoder layers, and has {layers}: the last layer is computed for pooled tokens only; take a model "
                "with more layers"
            )
        side = isqrt(vision.num_position_embeddings)
        return replace(super().row_format(config), places=side)

    def group_of(self, name: str) -> str:
        return "merger" if name.startswith("visual.deepstack_merger_list.") else super().group_of(name)
