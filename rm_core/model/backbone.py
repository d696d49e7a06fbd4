"""Load a backbone from a folder, with the packed attention in place."""

import os
from typing import Any

import torch
from torch import nn
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLModel
from transformers.utils.logging import disable_progress_bar

from data_pipeline.errors import CorruptData, MissingInput
from rm_core.model.attention import register_attention

# Its bars over files would tear the terminal's own progress bar.
disable_progress_bar()

__all__ = ["DTYPES", "load_backbone", "new_backbone"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def load_backbone(folder: str, *, dtype: torch.dtype) -> Qwen2_5_VLModel:
    """The backbone of `folder` (a Hugging Face Qwen2.5-VL folder; a language-model head in it is not loaded).

    Raises:
        MissingInput: no ``config.json`` there.
        CorruptData: weights are missing, which Transformers would fill with random numbers.
    """
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise MissingInput(
            f"{folder!r} holds no config.json: name a Qwen2.5-VL folder, or make one with `basereward init-model`"
        )
    # Transformers types neither the loading info nor `to` as they are.
    load: Any = Qwen2_5_VLModel.from_pretrained
    backbone, info = load(
        folder,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        output_loading_info=True,
        attn_implementation=_attention(),
    )
    if info["missing_keys"] or info["mismatched_keys"]:
        names = sorted(map(str, (*info["missing_keys"], *info["mismatched_keys"])))
        raise CorruptData(f"{folder!r} lacks {len(names)} weights of its backbone, first {names[:3]}")
    loaded: Qwen2_5_VLModel = backbone
    return loaded


def new_backbone(config: Qwen2_5_VLConfig, *, seed: int, dtype: torch.dtype) -> Qwen2_5_VLModel:
    """A backbone with random weights of Transformers' own initialisation."""
    state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    config._attn_implementation = _attention()
    backbone = Qwen2_5_VLModel(config)
    torch.random.set_rng_state(state)
    nn.Module.to(backbone, dtype)
    return backbone


def _attention() -> dict[str, str]:
    """Packed attention over text; the vision tower keeps PyTorch's own, it already works image by image."""
    return {"text_config": register_attention(), "vision_config": "sdpa"}
