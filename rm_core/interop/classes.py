"""Classes of Transformers that score an exported model, one a family and kind of head; importing this registers them.

Afterwards `AutoModelForSequenceClassification` and pipelines load every export. A text-only model with a linear head
has a class of Transformers' own, which stays what it is.

Legend: B rows, T tokens of the longest row, E hidden size.
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForSequenceClassification, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping, register_checkpoint_conversion_mapping
from transformers.modeling_outputs import SequenceClassifierOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from rm_core.model.exported_config import EXPORTED_CONFIGS, PREFIX, head_config_of
from rm_core.model.families import FAMILIES, Family
from rm_core.model.head import Float32Linear, RewardHead

__all__ = ["class_of"]


class _Scored:
    """Before a family's `PreTrainedModel`: the backbone as ``model``, the head as ``score``."""

    family: Family
    base_model_prefix = "model"
    _keep_in_fp32_modules_strict = frozenset({"score"})

    def __init__(self, config: Any) -> None:
        head = head_config_of(config)
        super().__init__(config)  # type: ignore[call-arg]  # of the family's class
        self.model = self.family.model_class(config)
        hidden = self.family.text_config(config).hidden_size
        deep = config.model_type.startswith(PREFIX)
        self.score = RewardHead(hidden, head) if deep else Float32Linear(hidden, 1, bias=False)
        self.post_init()  # type: ignore[attr-defined]

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor | None = None, **inputs: Any
    ) -> SequenceClassifierOutputWithPast:
        """Rewards, float32 [B, 1], as ``logits``.

        Args:
            input_ids: int64 [B, T], each row up to the token where an answer ends.
            attention_mask: [B, T], 0 for filling; None: every token that is no pad token counts.
            inputs: of images: what the processor made.
        """
        if attention_mask is None:
            attention_mask = (input_ids != self.family.text_config(self.config).pad_token_id).long()  # type: ignore[attr-defined]
        inputs.setdefault("use_cache", False)
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask, **inputs).last_hidden_state
        places = torch.arange(input_ids.shape[1], device=hidden.device)
        last = (places * attention_mask.to(hidden.device)).argmax(dim=-1)
        rewards = self.score(hidden[torch.arange(len(last), device=hidden.device), last])
        return SequenceClassifierOutputWithPast(logits=rewards.view(len(last), 1))


def class_of(config: Any) -> type[PreTrainedModel]:
    """The class that scores an export with this config."""
    found: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
    return found  # type: ignore[no-any-return]


def _register(family: Family, config: Any, kind: str) -> None:
    """Make the family's class for `config`, unless Transformers has one, and make it known."""
    if config in MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING:
        return
    base: Any = family.model_class.__base__
    name = family.model_class.__name__.removesuffix("Model")
    members = {"family": family, "config_class": config, "__module__": __name__}
    made = type(f"{name}{kind}", (_Scored, base), members)
    # Files have the names of published models, which are not those in today's classes.
    if renamed := get_checkpoint_conversion_mapping(f"{name}ForConditionalGeneration"):
        register_checkpoint_conversion_mapping(made.__name__, renamed)
    # Transformers passes over a config class of its own, unless it may replace what is there: nothing is.
    AutoModelForSequenceClassification.register(config, made, exist_ok=True)


for _type, _family in FAMILIES.items():
    _register(_family, EXPORTED_CONFIGS[PREFIX + _type], "ForBasereward")
    _register(_family, _family.config_class, "ForSequenceClassification")
