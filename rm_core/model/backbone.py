"""Load a backbone from a folder, with the packed attention in place."""

import os
import re
from typing import Any

import torch
from transformers import AutoConfig, PreTrainedModel
from transformers.utils.logging import disable_progress_bar

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core.model.attention import register_attention
from rm_core.model.exported_config import backbone_config_of
from rm_core.model.families import Family, family_of

# Its bars over files would tear the terminal's own progress bar.
disable_progress_bar()

__all__ = ["DTYPES", "load_backbone", "new_backbone", "read_config"]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_CPU = torch.device("cpu")
_MAY_BE_UNREAD = re.compile(r"(^|\.)lm_head\.|\.rotary_emb\.inv_freq$")
"""Of a language model: the head of its vocabulary, and a constant that older versions saved."""


def load_backbone(folder: str, *, dtype: torch.dtype, with_head: bool = False) -> PreTrainedModel:
    """The backbone of `folder` (a Hugging Face folder of one of our families).

    Args:
        with_head: its weights hold a head too, which the caller reads; else it is refused, as are all other tensors
            that the backbone does not have.

    Raises:
        MissingInput: no ``config.json`` there.
        RecipeError: a backbone of a family that is not known, one whose layers do not attend to the whole text, or one
            with an adapter beside it.
        CorruptData: weights are missing, which Transformers would fill with random numbers, or there are some that
            nobody reads.
    """
    if not os.path.isfile(os.path.join(folder, "config.json")):
        raise MissingInput(
            f"{folder!r} holds no config.json: name a Qwen2.5-VL folder, or make one with `basereward init-model`"
        )
    _check_no_adapter(folder)
    config = read_config(folder)
    family = family_of(config.model_type)
    _check_layers(family.text_config(config))
    # Transformers types neither the loading info nor `to` as they are.
    load: Any = family.model_class.from_pretrained
    backbone, info = load(
        folder,
        config=config,
        dtype=dtype,
        use_safetensors=True,
        local_files_only=True,
        trust_remote_code=False,
        output_loading_info=True,
        attn_implementation=_attention(family),
    )
    if info["missing_keys"] or info["mismatched_keys"]:
        names = sorted(map(str, (*info["missing_keys"], *info["mismatched_keys"])))
        raise CorruptData(f"{folder!r} lacks {len(names)} weights of its backbone, first {names[:3]}")
    unread = sorted(name for name in map(str, info["unexpected_keys"]) if not _MAY_BE_UNREAD.search(name))
    if unread and not with_head:
        raise CorruptData(
            f"{folder!r} has {len(unread)} tensors that its backbone does not read, first {unread[:3]}: they would be "
            "lost; a reward head of another program is read by `basereward import-model`"
        )
    family.prepare(backbone)
    loaded: PreTrainedModel = backbone
    return loaded


def read_config(folder: str) -> Any:
    """The Transformers config in the local `folder`, of an exported reward model that of its backbone.

    Code that lies there is never run, and nobody is asked to.

    Raises:
        RecipeError: no JSON, or an architecture that Transformers does not know by itself.
    """
    try:
        found = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (ValueError, KeyError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise RecipeError(
            f"{folder!r}: Transformers does not read its config.json without code of others: {reason}"
        ) from error
    return backbone_config_of(found)


def _check_no_adapter(folder: str) -> None:
    """Transformers loads a PEFT adapter that lies beside the weights, or names other weights, without being asked."""
    if found := sorted(name for name in os.listdir(folder) if name.startswith("adapter_")):
        raise RecipeError(
            f"{folder!r} holds an adapter ({', '.join(found)}), which changes the weights: move these files into a "
            "folder of their own, and name it as import_model.adapter where they are wanted"
        )


def new_backbone(config: Any, *, seed: int, dtype: torch.dtype, device: torch.device = _CPU) -> PreTrainedModel:
    """A backbone with random weights of Transformers' own initialisation; the one way to make one without a folder.

    Args:
        device: where it is made, and where no other copy of it ever was; on "meta" it has sizes and no weights.
    """
    family = family_of(config.model_type)
    config._attn_implementation = _attention(family)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), device:
        torch.manual_seed(seed)
        backbone = family.model_class(config)
    for parameter in backbone.parameters():  # and not the buffers: rotary frequencies stay float32
        parameter.data = parameter.data.to(dtype)
    family.prepare(backbone)
    return backbone


def _check_layers(text_config: Any) -> None:
    """A sliding window would cut the prefix off from a response: the packed row's mask has no such rule."""
    sliding = [kind for kind in getattr(text_config, "layer_types", None) or () if kind != "full_attention"]
    if sliding:
        raise RecipeError(f"the backbone has {len(sliding)} layers of {sliding[0]!r}: only full attention is supported")


def _attention(family: Family) -> Any:
    """Packed attention over text; what the configuration says of the tower is not used (`vision_tower`)."""
    if not family.has_vision:
        return register_attention()
    return {"text_config": register_attention(), "vision_config": "sdpa"}
