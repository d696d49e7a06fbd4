"""An exported model in vLLM: its own decoder and tower, our head, one reward for a prompt.

The process of vLLM needs this package and no other of its dependencies: nothing here imports Ray, DeepSpeed or MLflow.
"""

from typing import Any

from torch import Tensor, nn
from vllm.config import VllmConfig
from vllm.model_executor.layers.pooler import DispatchPooler
from vllm.model_executor.models.interfaces import SupportsCrossEncoding
from vllm.model_executor.models.qwen2 import Qwen2ForCausalLM
from vllm.model_executor.models.qwen2_5_vl import Qwen2_5_VLForConditionalGeneration
from vllm.model_executor.models.qwen2_vl import Qwen2VLForConditionalGeneration
from vllm.model_executor.models.qwen3 import Qwen3ForCausalLM
from vllm.model_executor.models.qwen3_vl import Qwen3VLForConditionalGeneration
from vllm.model_executor.models.utils import PPMissingLayer

from rm_core.model.exported_config import PREFIX, head_config_of
from rm_core.model.head import Float32Linear, RewardHead

__all__ = [
    "Qwen2ForBasereward", "Qwen2VLForBasereward", "Qwen3ForBasereward", "Qwen3VLForBasereward", "Qwen25VLForBasereward",
]  # fmt: skip


class _Head(RewardHead):
    """As vLLM calls a classifier: [N, hidden] to [N, 1]."""

    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden).unsqueeze(-1)


class _Scored:
    """Before a model that generates: the head in place of its vocabulary's, on a prompt's last token."""

    is_pooling_model = True

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__(vllm_config=vllm_config, prefix=prefix)  # type: ignore[call-arg]  # of vLLM's class
        holder: Any = self.language_model if hasattr(self, "language_model") else self
        holder.lm_head = PPMissingLayer()
        config = vllm_config.model_config.hf_config
        hidden = config.get_text_config().hidden_size
        if config.model_type.startswith(PREFIX):
            head: nn.Module = _Head(hidden, head_config_of(config))
        else:
            head = Float32Linear(hidden, 1, bias=False)
        self.score = head.float()
        self.pooler = DispatchPooler.for_seq_cls(vllm_config.model_config.pooler_config, classifier=self.score)


class Qwen25VLForBasereward(_Scored, Qwen2_5_VLForConditionalGeneration, SupportsCrossEncoding):  # type: ignore[misc]
    """On Qwen2.5-VL."""


class Qwen2VLForBasereward(_Scored, Qwen2VLForConditionalGeneration, SupportsCrossEncoding):  # type: ignore[misc]
    """On Qwen2-VL."""


class Qwen3VLForBasereward(_Scored, Qwen3VLForConditionalGeneration, SupportsCrossEncoding):  # type: ignore[misc]
    """On Qwen3-VL, whose decoder takes the features of the tower's middle blocks."""


class Qwen2ForBasereward(_Scored, Qwen2ForCausalLM, SupportsCrossEncoding):  # type: ignore[misc]
    """On Qwen2 and Qwen2.5."""


class Qwen3ForBasereward(_Scored, Qwen3ForCausalLM, SupportsCrossEncoding):  # type: ignore[misc]
    """On Qwen3."""
