"""The language-model head in a folder of weights: a tensor of its own, or the table of token embeddings."""

import json
import os

import torch
from safetensors import safe_open
from torch import nn
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core.model.families import FAMILIES, family_of
from rm_core.model.language_head import LanguageHead
from rm_core.model_folder.weight_files import LANGUAGE_HEAD

__all__ = ["read_language_head"]


def read_language_head(folder: str, backbone: PreTrainedModel) -> LanguageHead:
    """The language head of `backbone`, which was loaded from the local `folder`.

    Where the config says ``tie_word_embeddings`` it is the table of token embeddings itself, one parameter with two
    gradients; else ``lm_head.weight`` of the folder, in the backbone's type.

    Raises:
        RecipeError: language heads of this family of backbones are not read.
        MissingInput: the folder holds none, as one with a backbone alone.
        CorruptData: its shape is not that of the table of embeddings.
    """
    model_type = backbone.config.model_type
    if not family_of(model_type).writes:
        known = ", ".join(name for name, family in FAMILIES.items() if family.writes)
        raise RecipeError(
            f"{folder!r} is a {model_type}, whose language head is not read yet, and critics and judges need one: take "
            f"one of {known}"
        )
    table = backbone.get_input_embeddings().weight
    assert isinstance(table, nn.Parameter)
    if getattr(backbone.config, "tie_word_embeddings", False):
        return LanguageHead(table)
    file = _file_of_head(folder)
    if file is None:
        raise MissingInput(
            f"{folder!r} holds no {LANGUAGE_HEAD}, and its config.json does not say tie_word_embeddings: a model that "
            "writes needs a language head; name a folder with the whole language model, or make one by "
            "`basereward init-model` with init_model.language_head=true"
        )
    with safe_open(os.path.join(folder, file), framework="pt") as tensors:
        weight: torch.Tensor = tensors.get_tensor(LANGUAGE_HEAD)
    if weight.shape != table.shape:
        raise CorruptData(
            f"{folder!r}: {LANGUAGE_HEAD} has shape {tuple(weight.shape)}, and the table of token embeddings "
            f"{tuple(table.shape)}: the files do not belong together; copy the folder again"
        )
    return LanguageHead(nn.Parameter(weight.to(table.dtype)))


def _file_of_head(folder: str) -> str | None:
    """Name of the file that holds it."""
    index = os.path.join(folder, SAFE_WEIGHTS_INDEX_NAME)
    if os.path.isfile(index):
        with open(index, encoding="utf8") as file:
            found: str | None = json.load(file)["weight_map"].get(LANGUAGE_HEAD)
        return found
    with safe_open(os.path.join(folder, SAFE_WEIGHTS_NAME), framework="pt") as tensors:
        return SAFE_WEIGHTS_NAME if LANGUAGE_HEAD in set(tensors.keys()) else None
