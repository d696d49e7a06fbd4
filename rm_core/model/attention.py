"""Attention inside a packed row, under one name of Transformers' attention interface.

A row holds whole Comparisons, each laid out as [prefix | response 1 | ... | response K]. Two boundaries hold: a token
sees its own Comparison only, and there the prefix and its own response only. The rule is described by `BlockLayout`,
never by a matrix over the row: the cost is the sum over Comparisons of (their length)^2, not (row length)^2.

Legend: H query heads, G key/value heads, T tokens of the row, L tokens of one Comparison, D head dimension.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from rm_core.batches.layout import BlockLayout

__all__ = ["ATTENTION_NAME", "comparison_attention", "register_attention"]

ATTENTION_NAME = "basereward_comparison"


def comparison_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: BlockLayout | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **_unused: Any,
) -> tuple[Tensor, None]:
    """Attention of one packed row, one SDPA call a Comparison.

    Args:
        query: [1, H, T, D], rotary positions applied.
        key, value: [1, G, T, D].
        attention_mask: the row's layout.

    Returns:
        ([1, T, H, D], None), the form Transformers expects.

    Raises:
        TypeError: the layout did not reach the layer, so that some other mask rule would have run.
    """
    if not isinstance(attention_mask, BlockLayout):
        raise TypeError(f"{ATTENTION_NAME} needs a BlockLayout as attention_mask, got {type(attention_mask).__name__}")
    if attention_mask.num_tokens != query.shape[2]:
        raise ValueError(f"the layout covers {attention_mask.num_tokens} tokens, the row has {query.shape[2]}")
    outputs = []
    for block in attention_mask.blocks:
        row = slice(block.start, block.stop)
        outputs.append(
            scaled_dot_product_attention(
                query[:, :, row],
                key[:, :, row],
                value[:, :, row],
                attn_mask=attention_mask.mask(block, query.device),
                dropout_p=dropout,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2), None


def register_attention() -> str:
    """Make `comparison_attention` known to Transformers; returns its name for ``attn_implementation``."""
    AttentionInterface.register(ATTENTION_NAME, comparison_attention)
    return ATTENTION_NAME
