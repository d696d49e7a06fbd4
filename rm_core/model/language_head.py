"""The language-model head of a backbone: hidden states -> how likely chosen tokens are.

Logits of a whole row would be its largest tensor by far: 8,192 tokens of a vocabulary of 152,064 take 5 GB in float32,
and their gradient as much. So they are made for target tokens alone, a chunk at a time, and made again in the backward
pass (Chen et al. 2016, arXiv 1604.06174): one chunk of them exists at once, and its gradient.

Legend: N target tokens, E hidden size, V vocabulary.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from rm_core.model.language_loss import Costs, fused_costs

__all__ = ["LOGIT_BYTES", "LanguageHead", "chunk_tokens"]

LOGIT_BYTES = 1 << 28
"""Of a chunk's logits in float32, at most: 441 tokens of a vocabulary of 152,064."""


def chunk_tokens(vocabulary: int) -> int:
    """Tokens whose logits are made at once."""
    return max(1, LOGIT_BYTES // (4 * vocabulary))


class LanguageHead(nn.Module):
    """Logits [N, V] = hidden [N, E] times `weight` [V, E] transposed, and never all of them.

    Args:
        weight: a parameter of its own, or the table of token embeddings where the backbone has both in one.
    """

    def __init__(self, weight: nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self._fused: Costs | None = None

    def use_loss(self, which: str) -> None:
        """Compute costs as the word says, one of `LANGUAGE_LOSSES`, on the device where the weight is now.

        Raises:
            RecipeError: unknown, or this machine cannot run it.
        """
        self._fused = fused_costs(which, self.weight.device)

    def forward(self, hidden: Tensor, ids: Tensor) -> Tensor:
        """-log P of the tokens `ids` [N] at the places of `hidden` [N, E], float32 [N].

        Products are of the weights' type, and the softmax is float32. N may be 0: the result still has a gradient
        function, so that under ZeRO-3 a rank without targets takes part in gathering the weights and in its backward.
        """
        if self._fused is not None and len(ids):
            return self._fused(hidden.to(self.weight.dtype), self.weight, ids)
        size = chunk_tokens(len(self.weight))
        costs = [self._costs(*part) for part in zip(torch.split(hidden, size), torch.split(ids, size), strict=True)]
        return torch.cat(costs)

    def _costs(self, hidden: Tensor, ids: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return _costs(hidden, self.weight, ids)
        costs: Tensor = checkpoint(_costs, hidden, self.weight, ids, use_reentrant=False)
        return costs


def _costs(hidden: Tensor, weight: Tensor, ids: Tensor) -> Tensor:
    logits = functional.linear(hidden.to(weight.dtype), weight).float()
    return functional.cross_entropy(logits, ids, reduction="none")
