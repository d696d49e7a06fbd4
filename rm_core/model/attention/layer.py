"""The attention module of a decoder layer over a packed row: Transformers' weights, with fewer operations between them.

Queries and keys of all heads are turned together by tables that the row's layers share. A call that is not for a packed
row goes through Transformers' own code.
Legend: T tokens of the row, H query heads, G key/value heads, D head dimension, E hidden size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from rm_core.model.attention.interface import RowAttention
from rm_core.model.rotary import Tables, rotate

__all__ = ["PackedAttention"]


class PackedAttention:
    """Stands before one of Transformers' attention classes (`rm_core.model.swapped`).

    They have `q_proj`, `k_proj`, `v_proj` and `o_proj`, and with Qwen3 `q_norm` and `k_norm`.
    """

    head_dim: int
    scaling: float
    attention_dropout: float
    training: bool
    q_proj: nn.Module
    k_proj: nn.Module
    v_proj: nn.Module
    o_proj: nn.Module

    def forward(
        self,
        hidden_states: Tensor,
        *arguments: Any,
        attention_mask: Any = None,
        tables: Tables | None = None,
        **named: Any,
    ) -> tuple[Tensor, None]:
        """([1, T, E], None) from [1, T, E]."""
        if tables is None or not isinstance(attention_mask, RowAttention):
            parent: Any = super()
            found: tuple[Tensor, None] = parent.forward(
                hidden_states, *arguments, attention_mask=attention_mask, **named
            )
            return found
        query, key, value = (
            project(hidden_states).flatten(0, 1).unflatten(-1, (-1, self.head_dim))
            for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = (
            part if norm is None else norm(part)
            for part, norm in ((query, getattr(self, "q_norm", None)), (key, getattr(self, "k_norm", None)))
        )
        heads = [query.shape[1], key.shape[1]]
        query, key = torch.split(rotate(torch.cat((query, key), dim=1), tables), heads, dim=1)
        attended = attention_mask(
            *(part.transpose(0, 1)[None] for part in (query, key, value)),
            scale=self.scaling, dropout=self.attention_dropout if self.training else 0.0,
        )  # fmt: skip
        return self.o_proj(attended.transpose(1, 2).flatten(2)), None
