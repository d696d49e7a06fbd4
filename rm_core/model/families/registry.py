"""Families by Transformers' name."""

from dataclasses import replace
from typing import Any

import torch

from data_pipeline.errors import RecipeError
from rm_core.batches.positions import RowFormat
from rm_core.model.attention import KERNELS
from rm_core.model.families.base import Family
from rm_core.model.families.internvl import InternVL
from rm_core.model.families.qwen3_vl import Qwen3VL
from rm_core.model.families.qwen_text import Qwen2, Qwen3
from rm_core.model.families.qwen_vl import Qwen2VL, Qwen25VL

__all__ = ["FAMILIES", "family_of", "group_of", "row_format_of"]

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (Qwen25VL(), Qwen2VL(), Qwen3VL(), InternVL(), Qwen2(), Qwen3())
}


def family_of(model_type: str) -> Family:
    """The family called `model_type` in a ``config.json``.

    Raises:
        RecipeError: none of ours.
    """
    if model_type not in FAMILIES:
        raise RecipeError(f"a backbone of type {model_type!r} is not known; known are {', '.join(FAMILIES)}")
    return FAMILIES[model_type]


def row_format_of(
    config: Any,
    kernel: str = "sdpa",
    *,
    pixels: torch.dtype = torch.float32,
    targets: bool = False,
    verdicts: bool = False,
) -> RowFormat:
    """How rows are laid out for the backbone of `config` and the attention kernel of that name.

    Args:
        pixels: the type that the backbone computes in.
        targets: whether a model on it writes.
        verdicts: whether what it writes are verdicts about two answers.
    """
    plain = family_of(config.model_type).row_format(config)
    alignment = KERNELS[kernel].alignment
    return replace(plain, alignment=alignment, attention=kernel, pixels=pixels, targets=targets, verdicts=verdicts)


def group_of(name: str, model_type: str = "qwen2_5_vl") -> str:
    """The group of a `RewardModel`'s parameter: vision, merger, language, embeddings or head."""
    if name.startswith("head."):
        return "head"
    if name.startswith("lm_head."):  # the same weight as the table's in backbones that have both in one
        return "embeddings"
    return family_of(model_type).group_of(name.removeprefix("backbone."))
