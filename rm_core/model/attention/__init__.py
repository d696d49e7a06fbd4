"""Attention inside a packed row, under one name of Transformers' attention interface.

A row holds whole Comparisons, each laid out as [prefix | response 1 | ... | response K]. Two boundaries hold: a token
sees its own Comparison only, and there the prefix and its own response only. The rule is described by `BlockLayout`,
never by a matrix over the row, and each kernel reads it in its own way:

    `sdpa`    any device: two calls a Comparison, PyTorch's own kernels
    `flex`    GPUs: FlexAttention over a block mask made from the layout, compiled once for all lengths
    `varlen`  GPUs: the kernel named "flash", FlashAttention over sequences, each response with its prefix's keys first

`interface` registers the name, chooses the kernel and counts what ran; `prefixes` has keys and values of prefixes that
a row leaves out. In `rm_core.model.vision_tower` patches attend frame by frame or window by window.
"""

from rm_core.model.attention.interface import (
    ATTENTION_NAME,
    KERNELS,
    Kernel,
    RowAttention,
    choose_kernel,
    register_attention,
)
from rm_core.model.attention.prefixes import PrefixStates, RowPrefixes
from rm_core.model.attention.work import Work, WorkDone

__all__ = [
    "ATTENTION_NAME",
    "KERNELS",
    "Kernel",
    "PrefixStates",
    "RowAttention",
    "RowPrefixes",
    "Work",
    "WorkDone",
    "choose_kernel",
    "register_attention",
]
