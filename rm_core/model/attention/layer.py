"""The attention module of a decoder layer over a packed row: Transformers' weights, with fewer operations between them.

Queries and keys of all heads are turned together by tables that the row's layers share.
Legend: T tokens of the row, H query heads, G key/value heads, D head dimension, E hidden size.
"""

import torch
from torch import Tensor, nn

from rm_core.model.attention.interface import RowAttention
from rm_core.model.rotary import Tables, rotate

__all__ = ["PackedAttention"]


class PackedAttention:
    """Stands before one of Transformers' attention classes (`rm_core.model.swapped`), whose `forward` stays.

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

    def heads(self, hidden: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
        """Query [1, H, T, D], key and value [1, G, T, D] from [T, E]."""
        query, key, value = (
            project(hidden).unflatten(-1, (-1, self.head_dim)) for project in (self.q_proj, self.k_proj, self.v_proj)
        )
        query, key = (
            part if norm is None else norm(part)
            for part, norm in ((query, getattr(self, "q_norm", None)), (key, getattr(self, "k_norm", None)))
        )
        widths = [query.shape[1], key.shape[1]]
        query, key = torch.split(rotate(torch.cat((query, key), dim=1), tables), widths, dim=1)
        query, key, value = (part.transpose(0, 1)[None] for part in (query, key, value))
        return query, key, value

    def attend(self, attention: RowAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[T, H, D] from what `heads` gives."""
        dropout = self.attention_dropout if self.training else 0.0
        return attention(query, key, value, scale=self.scaling, dropout=dropout).squeeze(0).transpose(0, 1)

    def output(self, attended: Tensor) -> Tensor:
        """[T, E] from what `attend` gives."""
        projected: Tensor = self.o_proj(attended.flatten(1))
        return projected
