"""How a layer of the decoder or a block of the tower is run: what of it is recomputed, and what is compiled.

    before attention   norm, queries, keys, values, rotary positions    tensors alone
    attention          a kernel over the row, never compiled with the rest
    after attention    output, residual, norm, MLP, residual            tensors alone

Activations that the backward pass needs are kept, or made again from what is kept:

    none        everything is kept
    selective   the layer's input, and what is dear to make again: outputs of matrix products and of attention
    full        the layer's input

Chen et al. 2016 (arXiv 1604.06174) has the method, Korthikanti et al. 2022 (arXiv 2205.05198) the choice by operator.
Legend: T tokens or patches, E hidden size.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from rm_core.model.rotary import Tables

__all__ = ["KEPT_OPERATORS", "RECOMPUTE", "InHalves", "Running", "run_layer"]

RECOMPUTE = ("none", "selective", "full")
"""What is made again in the backward pass: nothing, all but products and attention, everything."""

KEPT_OPERATORS = frozenset({
    "aten::mm", "aten::addmm", "aten::bmm", "aten::baddbmm",
    "aten::_scaled_dot_product_flash_attention", "aten::_scaled_dot_product_flash_attention_for_cpu",
    "aten::_scaled_dot_product_efficient_attention", "aten::_scaled_dot_product_cudnn_attention",
    "aten::_scaled_dot_product_fused_attention_overrideable",
    "flex_attention", "inductor_compiled_code",  # FlexAttention plain, and as `attention.flex` compiles it
    "torch_attn::_varlen_attn", "flash_attn::_flash_attn_varlen_forward",
})  # fmt: skip
"""Names of the operators whose outputs `selective` keeps: every matrix product, and every kernel of attention."""


class InHalves(Protocol):
    """A layer around its attention."""

    def before_attention(self, hidden: Tensor, tables: Tables) -> Sequence[Tensor]:
        """Query, key and value, turned by their positions."""

    def after_attention(self, hidden: Tensor, attended: Tensor, pooled: Tensor | None = None) -> Tensor:
        """The layer's output, of the tokens `pooled` alone where they are given."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """How all layers of one forward pass are run.

    Attributes:
        recompute: one of `RECOMPUTE`.
    """

    recompute: str = "none"


def run_layer(
    layer: InHalves,
    hidden: Tensor,
    tables: Tables,
    attend: Callable[..., Tensor],
    running: Running,
    pooled: Tensor | None = None,
) -> Tensor:
    """The layer's output.

    Called inside the module's own `forward`, so that hooks at its border run once a forward pass, and not again where
    activations are recomputed: by then its backward hooks have brought its weights.

    Args:
        attend: (query, key, value) -> what attention gives.
        pooled: int64 [S]; only of these tokens the output is needed.
    """
    if running.recompute == "none":
        return _run(layer, hidden, tables, attend, pooled)
    options: dict[str, Any] = {}
    if running.recompute == "selective":
        options["context_fn"] = partial(create_selective_checkpoint_contexts, _policy)
    output: Tensor = checkpoint(_run, layer, hidden, tables, attend, pooled, use_reentrant=False, **options)
    return output


def _run(
    layer: InHalves, hidden: Tensor, tables: Tables, attend: Callable[..., Tensor], pooled: Tensor | None
) -> Tensor:
    attended = attend(*layer.before_attention(hidden, tables))
    return layer.after_attention(hidden, attended, pooled)


def _policy(_context: SelectiveCheckpointContext, operator: Any, *_arguments: Any, **_named: Any) -> CheckpointPolicy:
    kept = operator.name().partition(".")[0] in KEPT_OPERATORS
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
