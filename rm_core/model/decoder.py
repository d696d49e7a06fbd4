"""The decoder layers over one packed row, and only as much of the last one as rewards need.

Legend: T tokens of the row, S pooled tokens, E hidden size.
"""

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rm_core.model.attention import RowAttention
from rm_core.model.rotary import tables_of

__all__ = ["RECOMPUTE", "recomputed", "run_decoder"]

RECOMPUTE = ("none", "selective", "full")
"""Layers whose activations are recomputed in the backward pass: none, every second one, all."""


def run_decoder(
    text: Any, embeddings: Tensor, position_ids: Tensor, attention: RowAttention, pooled: Tensor, *, recompute: str
) -> Tensor:
    """Hidden states after the final norm, of the pooled tokens only: [S, E].

    The last layer's attention runs over the whole row, since every token's keys and values are needed, but its MLP and
    the final norm run for the pooled tokens alone.

    Args:
        text: a Transformers decoder of pre-norm layers (`input_layernorm`, `self_attn`, `post_attention_layernorm`,
            `mlp`).
        embeddings: [T, E].
        position_ids: what the decoder's rotary embedding reads: [3, 1, T], or [1, T].
        pooled: int64 [S], indices into the row.
    """
    hidden = embeddings[None]
    cosine, sine = text.rotary_emb(hidden, position_ids)
    context: dict[str, Any] = {"attention_mask": attention, "position_embeddings": (cosine, sine)}
    if cosine.dim() == 3:  # older Transformers leave M-RoPE's three parts apart, for their own layers to choose from
        context["tables"] = tables_of(cosine[0], sine[0])
    *layers, last = text.layers
    for index, layer in enumerate(layers):
        hidden = recomputed(recompute, index)(layer, hidden, **context)
    return recomputed(recompute, len(layers))(_last_layer, last, text.norm, hidden, pooled, **context)


def _last_layer(layer: Any, norm: nn.Module, hidden: Tensor, pooled: Tensor, **context: Any) -> Tensor:
    attended, _ = layer.self_attn(hidden_states=layer.input_layernorm(hidden), **context)
    chosen = (hidden + attended)[0, pooled]
    output: Tensor = norm(chosen + layer.mlp(layer.post_attention_layernorm(chosen)))
    return output


def recomputed(recompute: str, index: int) -> Callable[..., Tensor]:
    """How layer `index` is called: plainly, or with its activations recomputed in the backward pass."""
    if recompute == "full" or (recompute == "selective" and index % 2):
        return _checkpointed
    return _called


def _called(function: Callable[..., Tensor], *arguments: Any, **named: Any) -> Tensor:
    return function(*arguments, **named)


def _checkpointed(function: Callable[..., Tensor], *arguments: Any, **named: Any) -> Tensor:
    output: Tensor = checkpoint(function, *arguments, use_reentrant=False, **named)
    return output
