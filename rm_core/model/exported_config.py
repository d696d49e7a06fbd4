"""Transformers' config of an exported model: that of its backbone, with its head under ``reward_head``.

One linear layer without a bias is a head that other programs have: the export keeps the backbone's model type. Any
other head gets a model type of its own, ``basereward_`` before the backbone's. A program that does not know it refuses
the folder; under the backbone's name it would give it a new random head, and only warn.

vLLM's process reads this file through a plugin: it imports Transformers and nothing of ours that needs more.
"""

from typing import Any

from transformers import (
    AutoConfig,
    InternVLConfig,
    PretrainedConfig,
    Qwen2_5_VLConfig,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen3Config,
    Qwen3VLConfig,
)

from data_pipeline.errors import RecipeError
from rm_core.model.config import HeadConfig

__all__ = ["EXPORTED_CONFIGS", "HEAD_KEY", "PREFIX", "backbone_config_of", "exported_config", "head_config_of"]

PREFIX = "basereward_"
HEAD_KEY = "reward_head"
_KEPT = ("layers", "activation", "width", "bias", "output_bias")
"""Fields of `HeadConfig` that decide what a trained head computes from the last token."""
_OF_BACKBONES: dict[str, Any] = {
    config.model_type: config
    for config in (Qwen2_5_VLConfig, Qwen2VLConfig, Qwen3VLConfig, InternVLConfig, Qwen2Config, Qwen3Config)
}
_OF_EXPORTS = ("model_type", "architectures", HEAD_KEY, "num_labels", "id2label", "label2id", "problem_type")
"""What the config of an export says in another way than that of its backbone."""
EXPORTED_CONFIGS: dict[str, Any] = {
    PREFIX + model_type: type(
        f"Basereward{config.__name__}", (config,), {"model_type": PREFIX + model_type, "__module__": __name__}
    )
    for model_type, config in _OF_BACKBONES.items()
}
"""Model type of an export -> its config class; Transformers' `AutoConfig` knows them once this file is imported."""
for _model_type, _config in EXPORTED_CONFIGS.items():
    AutoConfig.register(_model_type, _config)


def exported_config(backbone: Any, head: HeadConfig, *, pad_token: int) -> Any:
    """The config of an export; it gives one number a row, which no function changes (``regression``).

    Args:
        backbone: the config of the backbone.
        pad_token: what fills short rows of a batch; Transformers reads the last token that is another.
    """
    linear = head.layers == 1 and not head.output_bias
    known = _OF_BACKBONES if linear else EXPORTED_CONFIGS
    model_type = backbone.model_type
    content = {name: value for name, value in backbone.to_dict().items() if name not in _OF_EXPORTS}
    content[HEAD_KEY] = {name: getattr(head, name) for name in _KEPT}
    config = known[model_type if linear else PREFIX + model_type].from_dict(content)
    config.num_labels = 1
    config.problem_type = "regression"
    config.get_text_config().pad_token_id = pad_token
    return config


def head_config_of(config: Any) -> HeadConfig:
    """The head of an exported model.

    Raises:
        RecipeError: the config does not describe one.
    """
    described: Any = getattr(config, HEAD_KEY, None)
    try:
        return HeadConfig(**described)
    except TypeError as error:
        raise RecipeError(
            f"config.json has {HEAD_KEY}={described!r}, which describes no head: name a folder that "
            "`basereward export-model` wrote"
        ) from error


def backbone_config_of(config: PretrainedConfig) -> Any:
    """The backbone's own config: `config` itself, unless it describes a head."""
    if not hasattr(config, HEAD_KEY):
        return config
    content = config.to_dict()
    plain = _OF_BACKBONES[content["model_type"].removeprefix(PREFIX)]
    return plain.from_dict({name: value for name, value in content.items() if name not in _OF_EXPORTS})
