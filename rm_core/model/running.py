"""How a layer of the decoder or a block of the tower is run: what of it is recomputed, and what is compiled.

    before attention   norm, queries, keys, values, rotary positions    tensors alone
    attention          a kernel over the row, never compiled with them
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

import torch
from torch import Tensor
from torch.utils.checkpoint import (
    CheckpointPolicy,
    SelectiveCheckpointContext,
    checkpoint,
    create_selective_checkpoint_contexts,
)

from rm_core.model import compiled
from rm_core.model.rotary import Tables

__all__ = ["KEPT_OPERATORS", "RECOMPUTE", "InHalves", "Running", "run_layer", "tracked"]

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
        compiled: whether the parts around attention are (`rm_core.model.compiled`).
    """

    recompute: str = "none"
    compiled: bool = False


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
    if running.compiled and running.recompute == "selective":
        # Each part on its own, inside its graph: attention keeps what it needs, and no part sees the other's operators.
        return _run(layer, hidden, tables, attend, pooled, _selectively)
    run = (
        _run if running.recompute == "none" else partial(_wholly if running.recompute == "full" else _selectively, _run)
    )
    output: Tensor = run(layer, hidden, tables, attend, pooled, _plainly if running.compiled else None)
    return output


def tracked(layer: Any, hidden: Tensor) -> Tensor:
    """What a layer is given, with a gradient where any of its weights has one.

    Below the first layer with adapters nothing may train. DeepSpeed would then take the layer's backward pass for done
    when it begins, and drop gathered weights; and the compiler would make a graph of its own for that layer.
    """
    if hidden.requires_grad or not torch.is_grad_enabled():
        return hidden
    trains = any(weight.requires_grad for weight in layer.parameters())
    return hidden.detach().requires_grad_() if trains else hidden


def _run(
    layer: InHalves, hidden: Tensor, tables: Tables, attend: Callable[..., Tensor], pooled: Tensor | None,
    compiled_by: Callable[..., Any] | None,
) -> Tensor:  # fmt: skip
    """`compiled_by`: how a compiled part calls its method; None: nothing is compiled."""
    if compiled_by is None:
        return layer.after_attention(hidden, attend(*layer.before_attention(hidden, tables)), pooled)
    attended = attend(*compiled.before_attention(compiled_by, layer, hidden, tables))
    if pooled is not None:  # few tokens, and sometimes one or none, for which a graph of its own would be made
        return layer.after_attention(hidden, attended, pooled)
    return compiled.after_attention(compiled_by, layer, hidden, attended)


def _plainly(function: Callable[..., Any], *arguments: Any) -> Any:
    return function(*arguments)


def _wholly(function: Callable[..., Any], *arguments: Any) -> Any:
    return checkpoint(function, *arguments, use_reentrant=False)


def _selectively(function: Callable[..., Any], *arguments: Any) -> Any:
    return checkpoint(function, *arguments, use_reentrant=False, context_fn=_keeping)


def _keeping() -> Any:
    return create_selective_checkpoint_contexts(_policy)  # type: ignore[no-untyped-call]


def _policy(_context: SelectiveCheckpointContext, operator: Any, *_arguments: Any, **_named: Any) -> CheckpointPolicy:
    kept = operator.name().partition(".")[0] in KEPT_OPERATORS
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE
