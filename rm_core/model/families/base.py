"""What the reward model needs of a backbone.

To add a family: one file with a subclass of `Family`, its name in `registry.FAMILIES`, and its name in the list of
``tests/unit/rm_core/model/test_packed_equality.py``, which holds it to be equal to Transformers' own forward pass.

Legend: T tokens of the row, P patches, V image tokens, E hidden size.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from torch import Tensor
from transformers import PretrainedConfig, PreTrainedModel

from data_pipeline.media import QWEN2_5_VL, ImageFormat
from rm_core.batches.packed import PackedBatch
from rm_core.batches.positions import RowFormat
from rm_core.model.attention.layer import PackedAttention
from rm_core.model.attention.work import Work
from rm_core.model.decoder import PackedLayer
from rm_core.model.norms import fuse_norms
from rm_core.model.running import Running
from rm_core.model.swapped import stand_before

__all__ = ["Family"]


class Family(ABC):
    """One kind of backbone; stateless."""

    model_type: ClassVar[str]
    """Transformers' name of it, as in ``config.json``."""
    config_class: ClassVar[type[PretrainedConfig]]
    model_class: ClassVar[type[PreTrainedModel]]
    """Without a language-model head, which `rm_core.model.language_head` is."""
    has_vision: ClassVar[bool]
    writes: ClassVar[bool] = True
    """Whether a critic can stand on it: its language head is read from folders, and text is generated with it."""
    images: ClassVar[ImageFormat] = QWEN2_5_VL
    """How its pictures are prepared, of a family that sees."""

    def text_config(self, config: Any) -> Any:
        """The part of the config that describes the decoder: of families that read text only, all of it."""
        return config.text_config if self.has_vision else config

    def decoder(self, backbone: Any) -> Any:
        """The decoder: `embed_tokens`, `rotary_emb`, `layers` (pre-norm, see `decoder.run_decoder`), `norm`."""
        return backbone.language_model if self.has_vision else backbone

    def prepare(self, backbone: Any) -> None:
        """Change modules of a backbone that was just made, or just got adapters, where a faster equal is known.

        Names and weights stay; called twice it changes nothing more.
        """
        fuse_norms(backbone)
        for layer in self.decoder(backbone).layers:
            stand_before(layer, PackedLayer)
            stand_before(layer.self_attn, PackedAttention)

    @abstractmethod
    def row_format(self, config: Any, /) -> RowFormat:
        """How rows for it are laid out, whatever the attention kernel."""

    @abstractmethod
    def rotary_positions(self, batch: PackedBatch) -> Tensor:
        """What its rotary embedding reads: [3, 1, T], or [1, T]."""

    @abstractmethod
    def group_of(self, name: str) -> str:
        """The group, one of `rm_core.model.config.GROUPS`, of the backbone's parameter `name`."""

    def num_vision_blocks(self, backbone: Any) -> int:
        """Blocks of the vision tower; 0 for text-only families."""
        return len(backbone.visual.blocks) if self.has_vision else 0

    def image_features(
        self, backbone: Any, batch: PackedBatch, dtype: Any, *, running: Running, work: Work
    ) -> tuple[Tensor, ...]:
        """Features [V, E] of the row's distinct images, in the order of `batch.image_grid`; for families that see.

        The first take the place of the image tokens, each further one is added to them behind a decoder layer.
        It is called once a row on every rank, also for a row without images (one blank image).

        Args:
            work: is told of every block of the tower.
        """
        raise NotImplementedError(f"{self.model_type} reads text only")
