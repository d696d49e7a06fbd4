"""The text-only Qwen2 and Qwen2.5 (arXiv 2412.15115) and Qwen3 (arXiv 2505.09388): members of an ensemble for text."""

from typing import Any, ClassVar

from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel, Qwen2Config, Qwen2Model, Qwen3Config, Qwen3Model

from rm_core.batches.packed import PackedBatch
from rm_core.batches.positions import RowFormat
from rm_core.model.families.base import Family

__all__ = ["Qwen2", "Qwen3"]

_NO_TOKEN = -1


class Qwen2(Family):
    """Qwen2 and Qwen2.5: one model type."""

    model_type = "qwen2"
    config_class: ClassVar[type[PretrainedConfig]] = Qwen2Config
    model_class: ClassVar[type[PreTrainedModel]] = Qwen2Model
    has_vision = False

    def row_format(self, _config: Any, /) -> RowFormat:
        return RowFormat(image_token=_NO_TOKEN, video_token=_NO_TOKEN, has_vision=False)

    def rotary_positions(self, batch: PackedBatch) -> Tensor:
        # Of text, the three positions are equal.
        return batch.position_ids[:1]

    def group_of(self, name: str) -> str:
        return "embeddings" if name.startswith("embed_tokens.") else "language"


class Qwen3(Qwen2):
    """Qwen3: queries and keys are normalised, no biases."""

    model_type = "qwen3"
    config_class = Qwen3Config
    model_class = Qwen3Model
