"""vLLM's way to the models of `vllm_classes`: the entry point ``vllm.general_plugins``, called in all its processes.

vLLM converts a text-only model with a linear head by itself. Other heads, and a linear head beside a vision tower,
which it looks for under another name, need this.
"""

__all__ = ["ARCHITECTURES", "register"]

_CLASSES = "rm_core.interop.vllm_classes"
ARCHITECTURES = {
    "Qwen2_5_VLForBasereward": "Qwen25VLForBasereward",
    "Qwen2_5_VLForSequenceClassification": "Qwen25VLForBasereward",
    "Qwen2VLForBasereward": "Qwen2VLForBasereward",
    "Qwen2VLForSequenceClassification": "Qwen2VLForBasereward",
    "Qwen3VLForBasereward": "Qwen3VLForBasereward",
    "Qwen3VLForSequenceClassification": "Qwen3VLForBasereward",
    "Qwen2ForBasereward": "Qwen2ForBasereward",
    "Qwen3ForBasereward": "Qwen3ForBasereward",
}
"""Architecture in ``config.json`` -> class in `vllm_classes`."""


def register() -> None:
    """Tell vLLM the architectures, and Transformers the configs that they come with."""
    from vllm import ModelRegistry

    import rm_core.model.exported_config  # noqa: F401  # registers

    known = ModelRegistry.get_supported_archs()
    for architecture, name in ARCHITECTURES.items():
        if architecture not in known:
            ModelRegistry.register_model(architecture, f"{_CLASSES}:{name}")
