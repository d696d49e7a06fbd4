"""FlashAttention over sequences of their own lengths, each response with its prefix's keys in front.

    queries   [prefix and response 1 | response 2 | ... | response K]          of every Comparison, no copy
    keys      [prefix and response 1 | prefix, response 2 | ... | prefix, response K]     gathered

With its causal mask aligned at the end, a response sees its prefix whole and itself up to each token. The gather's
backward pass adds up what every response asks of the prefix. Dao 2023, FlashAttention-2 (arXiv 2307.08691). The
sequences are made in the loader, by `rm_core.batches.attention_indices`.
Legend: T tokens of the row, U gathered keys, S sequences, H query heads, G key/value heads, D head dimension.
"""

from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from inspect import signature
from typing import Any

import torch
from torch import Tensor
from torch.nn.attention.varlen import varlen_attn

from rm_core.batches.attention_indices import Sequences
from rm_core.batches.layout import BlockLayout

__all__ = ["Varlen", "prepare", "why_not"]

_KNOWS_GROUPS = "enable_gqa" in signature(varlen_attn).parameters
"""PyTorch 2.11 wants as many key heads as query heads, and has no such option."""

Varlen = Callable[[Tensor, Tensor, Tensor, Sequences, float], Tensor]
"""(query [T, H, D], key [U, G, D], value [U, G, D], sequences, scale) -> [T, H, D]; causal, aligned at the end."""


def why_not(device: torch.device, dtype: torch.dtype) -> str:
    """FlashAttention needs a GPU of compute capability 8.0 and 16-bit numbers."""
    if device.type != "cuda":
        return f"it needs a CUDA GPU, the model is on {device}"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return f"it needs compute capability 8.0, {torch.cuda.get_device_name(device)} is older"
    if dtype not in (torch.bfloat16, torch.float16):
        return f"it needs bfloat16 or float16, the weights are {dtype}"
    return ""


def prepare(_layout: BlockLayout, sequences: Sequences, varlen: Varlen | None = None) -> "partial[Tensor]":
    """Attention of a row of these sequences, on their device.

    Args:
        varlen: the kernel; unset: the package flash_attn where it is installed, else the one inside PyTorch.
    """
    return partial(_attend, sequences, varlen or _installed())


def _attend(
    sequences: Sequences, varlen: Varlen, query: Tensor, key: Tensor, value: Tensor, scale: float, dropout: float
) -> Tensor:
    if dropout:
        raise ValueError(f"this kernel is called without dropout, asked for {dropout}")
    keys, values = (part[0].transpose(0, 1).index_select(0, sequences.key_index) for part in (key, value))
    return varlen(query[0].transpose(0, 1), keys, values, sequences, scale).transpose(0, 1)[None]


def _installed() -> Varlen:
    return _flash_attn_package if find_spec("flash_attn") else _flash_attn_of_torch


def _flash_attn_package(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float) -> Tensor:
    attended: Tensor = import_module("flash_attn").flash_attn_varlen_func(
        query, key, value, sequences.query_starts, sequences.key_starts,
        sequences.longest_query, sequences.longest_key, softmax_scale=scale, causal=True,
    )  # fmt: skip
    return attended


def _flash_attn_of_torch(query: Tensor, key: Tensor, value: Tensor, sequences: Sequences, scale: float) -> Tensor:
    grouped = query.shape[1] // key.shape[1]
    options: dict[str, Any] = {}
    if grouped > 1 and _KNOWS_GROUPS:
        options["enable_gqa"] = True
    elif grouped > 1:
        key, value = (part.repeat_interleave(grouped, dim=1) for part in (key, value))
    attended = varlen_attn(
        query, key, value, sequences.query_starts, sequences.key_starts,
        sequences.longest_query, sequences.longest_key,
        scale=scale, window_size=(-1, 0), **options,
    )  # fmt: skip
    assert isinstance(attended, Tensor)
    return attended
