"""What a Comparison costs the model, in FLOPs of one forward pass: linear in counts that the planning rows hold.

The coefficients belong to a backbone; `rm_core.model.flops.cost_model` makes them from its config.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["CostModel", "attention_pairs"]

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, kw_only=True)
class CostModel:
    """FLOPs of a forward pass for one unit of each kind; a backward pass takes twice as many, whatever the row.

    Attributes:
        token: a text or image token of the language model: its linear layers.
        response: a response: what runs for its pooled token alone.
        attention_pair: a pair of tokens (query, key) that the rule of the packed row allows.
        patch: a vision patch: the linear layers of tower and merger, and attention inside a whole window.
        patch_pair: a pair of patches of one image in the tower's blocks without windows; 0: it has none.
    """

    token: float
    response: float
    attention_pair: float
    patch: float = 0.0
    patch_pair: float = 0.0

    def cost(
        self, tokens: Integers, responses: Integers, attention_pairs: Integers, patches: Integers, patch_pairs: Integers
    ) -> npt.NDArray[np.float64]:
        """FLOPs of each Comparison from its counts, all [N]: float64 [N]."""
        of_text = self.token * tokens + self.response * responses + self.attention_pair * attention_pairs
        total: npt.NDArray[np.float64] = of_text + self.patch * patches + self.patch_pair * patch_pairs
        return total


def attention_pairs(prefix: int, responses: Sequence[int]) -> int:
    """Pairs (query, key) that may attend in one Comparison: causal inside the prefix, each response sees it and itself.

    A prefix of 3 tokens with responses of 2 and 1: 6 + (6 + 3) + (3 + 1) = 19.
    """
    return prefix * (prefix + 1) // 2 + sum(length * prefix + length * (length + 1) // 2 for length in responses)
