"""The decoder layers over one packed row, and only as much of the last one as rewards need.

Legend: T tokens of the row, S pooled tokens, V image tokens, E hidden size.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from rm_core.model.attention import RowAttention
from rm_core.model.attention.layer import PackedAttention
from rm_core.model.rotary import Tables, joined, tables_of
from rm_core.model.running import Running, run_layer, tracked

__all__ = ["Deepstack", "PackedLayer", "RowContext", "run_decoder"]


@dataclass(frozen=True)
class Deepstack:
    """What is added to the image tokens behind the first layers, one after the other (DeepStack, arXiv 2406.04334).

    Attributes:
        index: int64 [V], where they stand in the row.
        features: [V, E] each, of middle blocks of the vision tower; fewer than there are layers.
    """

    index: Tensor
    features: Sequence[Tensor]

    def behind(self, layer: int, hidden: Tensor) -> Tensor:
        """[T, E] from the output [T, E] of `layer`."""
        return hidden.index_add(0, self.index, self.features[layer]) if layer < len(self.features) else hidden


@dataclass(frozen=True)
class RowContext:
    """What all layers of one forward pass share.

    Attributes:
        attention: of the row.
        tables: rotary positions.
        running: what is recomputed.
    """

    attention: RowAttention
    tables: Tables
    running: Running


class PackedLayer:
    """Stands before one of Transformers' decoder layers (`rm_core.model.swapped`).

    A call that is not for a packed row goes through Transformers' own code.
    """

    input_layernorm: nn.Module
    self_attn: PackedAttention
    post_attention_layernorm: nn.Module
    mlp: nn.Module

    def forward(
        self, hidden_states: Tensor, *arguments: Any, row: RowContext | None = None, pooled: Tensor | None = None,
        **named: Any,
    ) -> Any:  # fmt: skip
        """[T, E] from [T, E]; with `pooled`, [S, E] of these tokens."""
        if row is None:
            parent: Any = super()
            return parent.forward(hidden_states, *arguments, **named)
        attend = partial(self.self_attn.attend, row.attention)
        return run_layer(self, hidden_states, row.tables, attend, row.running, pooled)

    def before_attention(self, hidden: Tensor, tables: Tables) -> tuple[Tensor, Tensor, Tensor]:
        """Query, key and value."""
        return self.self_attn.heads(self.input_layernorm(hidden), tables)

    def after_attention(self, hidden: Tensor, attended: Tensor, pooled: Tensor | None = None) -> Tensor:
        """The layer's output."""
        hidden = hidden + self.self_attn.output(attended)
        if pooled is not None:
            hidden = hidden[pooled]
        output: Tensor = hidden + self.mlp(self.post_attention_layernorm(hidden))
        return output


def run_decoder(
    text: Any, embeddings: Tensor, position_ids: Tensor, attention: RowAttention, pooled: Tensor, *, running: Running,
    deepstack: Deepstack | None = None,
) -> Tensor:  # fmt: skip
    """Hidden states after the final norm, of the pooled tokens only: [S, E].

    The last layer's attention runs over the whole row, since every token's keys and values are needed, but its MLP and
    the final norm run for the pooled tokens alone.

    Args:
        text: a Transformers decoder whose layers are `PackedLayer`s.
        embeddings: [T, E].
        position_ids: what the decoder's rotary embedding reads: [3, 1, T], or [1, T].
        pooled: int64 [S], indices into the row.
    """
    tables = text.rotary_emb(embeddings, position_ids)
    if tables[0].dim() == 4:  # older Transformers leave M-RoPE's three parts apart, for their own layers to join
        sections = text.config.rope_parameters["mrope_section"]
        tables = [joined(table, sections) for table in tables]
    row = RowContext(attention, tables_of(*(table[0] for table in tables)), running)
    *layers, last = text.layers
    hidden = embeddings
    for number, layer in enumerate(layers):
        hidden = layer(tracked(layer, hidden), row=row)
        if deepstack is not None:
            hidden = deepstack.behind(number, hidden)
    output: Tensor = text.norm(last(tracked(last, hidden), row=row, pooled=pooled))
    return output
