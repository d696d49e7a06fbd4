"""The one function that Transformers' layers call, what it gets in place of a mask, and the kernels it chooses from.

Legend: H query heads, G key/value heads, T tokens of the row, D head dimension.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import AttentionInterface

from data_pipeline.errors import RecipeError
from rm_core.batches.attention_indices import TILE, AttentionIndices, OwnStarts, Sequences, Tiles
from rm_core.batches.known_prefixes import WholeRow
from rm_core.batches.layout import BlockLayout
from rm_core.model.attention import flex, sdpa, varlen
from rm_core.model.attention.prefixes import RowPrefixes
from rm_core.model.attention.work import Work

__all__ = [
    "ATTENTION_NAME",
    "KERNELS",
    "Attend",
    "Kernel",
    "RowAttention",
    "choose_kernel",
    "comparison_attention",
    "register_attention",
]


Attend = Callable[[Tensor, Tensor, Tensor, float, float], Tensor]
"""(query, key, value, scale, dropout) -> output, all [1, heads, T, D]."""


@dataclass(frozen=True, kw_only=True)
class Kernel:
    """One way to compute the attention of a packed row.

    Attributes:
        alignment: rows are filled up to a multiple of this many tokens.
        indices: what it reads of a row.
        prepare: (layout, its indices) -> attention of that row, on the device of the indices; once a row.
        prepare_known: (whole layout, computed layout, indices) -> attention whose queries are those of computed tokens,
            over the keys of the whole row; None: it wants a query of every key.
        why_not: (device, type of the weights) -> what is missing here, or "".
    """

    name: str
    alignment: int
    indices: type[AttentionIndices]
    prepare: Callable[[BlockLayout, Any], Attend]
    why_not: Callable[[torch.device, torch.dtype], str]
    prepare_known: Callable[[BlockLayout, BlockLayout, Any], Attend] | None = None


KERNELS: dict[str, Kernel] = {
    "sdpa": Kernel(
        name="sdpa",
        alignment=1,
        indices=OwnStarts,
        prepare=sdpa.prepare,
        why_not=lambda *_: "",
        prepare_known=sdpa.prepare_known,
    ),
    "flex": Kernel(name="flex", alignment=TILE, indices=Tiles, prepare=flex.prepare, why_not=flex.why_not),
    "flash": Kernel(name="flash", alignment=1, indices=Sequences, prepare=varlen.prepare, why_not=varlen.why_not),
}


def choose_kernel(name: str, device: torch.device, dtype: torch.dtype, *, key: str = "train.attention") -> Kernel:
    """The kernel called `name`; "auto" takes flex on a GPU and sdpa elsewhere.

    Args:
        key: what a recipe calls it.

    Raises:
        RecipeError: unknown, or this machine cannot run it: nothing else runs in its place.
    """
    if name == "auto":
        name = "flex" if device.type == "cuda" else "sdpa"
    if name not in KERNELS:
        raise RecipeError(f"{key}={name!r} is unknown; choose one of auto, {', '.join(KERNELS)}")
    kernel = KERNELS[name]
    if reason := kernel.why_not(device, dtype):
        raise RecipeError(f"{key}={name!r} cannot run here: {reason}; choose sdpa, which runs everywhere")
    return kernel


ATTENTION_NAME = "basereward_comparison"


class RowAttention:
    """Attention of one row: the kernel with the row's layout, prepared once and used by every layer.

    Args:
        layout: covers the whole row, fillers included.
        indices: of the row, on its device.
        work: counts each layer.
        whole: of a row that leaves out prefixes; the indices are those of the whole row.
        prefixes: which are known, and which to keep.

    Raises:
        TypeError: the row was made for another kernel.
        ValueError: it leaves out other prefixes than are known.
    """

    def __init__(
        self, kernel: Kernel, layout: BlockLayout, indices: AttentionIndices | None, work: Work,
        whole: WholeRow | None = None, prefixes: RowPrefixes | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(indices, kernel.indices):
            raise TypeError(
                f"the row carries {type(indices).__name__} and the kernel {kernel.name!r} reads "
                f"{kernel.indices.__name__}: make rows with the model's own row_format"
            )
        self._kernel = kernel
        self._layout, self._whole, self._prefixes = layout, whole, prefixes or RowPrefixes()
        self._prefixes.check(layout, whole)
        self._attend: Attend
        if whole is not None and kernel.prepare_known is not None:
            self._attend = kernel.prepare_known(whole.layout, layout, indices)
        else:
            self._attend = kernel.prepare(layout if whole is None else whole.layout, indices)
        self._work = work

    def __call__(self, query: Tensor, key: Tensor, value: Tensor, *, scale: float, dropout: float) -> Tensor:
        """[1, H, T, D] from query [1, H, T, D], key and value [1, G, T, D].

        Raises:
            ValueError: the row is not the one of the layout.
        """
        if query.shape[2] != self._layout.num_tokens:
            raise ValueError(f"the layout covers {self._layout.num_tokens} tokens, the row has {query.shape[2]}")
        self._work.layer(query.shape[2], self._kernel.name)
        self._prefixes.see(self._layout, key, value)
        if self._whole is None:
            return self._attend(query, key, value, scale, dropout)
        key, value = self._prefixes.among(self._layout, key, value)
        if self._kernel.prepare_known is not None:
            return self._attend(query, key, value, scale, dropout)
        size = (1, query.shape[1], self._whole.layout.num_tokens, query.shape[3])
        queries = query.new_zeros(size).index_copy_(2, self._whole.index, query)
        return self._attend(queries, key, value, scale, dropout).index_select(2, self._whole.index)


def comparison_attention(
    _module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: RowAttention | None,
    *,
    scaling: float,
    dropout: float = 0.0,
    **_unused: Any,
) -> tuple[Tensor, None]:
    """Attention of one packed row.

    Args:
        query: [1, H, T, D], rotary positions applied.
        key, value: [1, G, T, D].
        attention_mask: the row's attention.

    Returns:
        ([1, T, H, D], None), the form Transformers expects.

    Raises:
        TypeError: the row's attention did not reach the layer, so that some other mask rule would have run.
    """
    if not isinstance(attention_mask, RowAttention):
        raise TypeError(f"{ATTENTION_NAME} needs a RowAttention as attention_mask, got {type(attention_mask).__name__}")
    return attention_mask(query, key, value, scale=scaling, dropout=dropout).transpose(1, 2), None


def register_attention() -> str:
    """Make `comparison_attention` known to Transformers; returns its name for ``attn_implementation``."""
    AttentionInterface.register(ATTENTION_NAME, comparison_attention)
    return ATTENTION_NAME
