"""RMSNorm (arXiv 1910.07467) in one kernel on a GPU, where Transformers' class launches eight.

PyTorch computes it in float32 and rounds once at the end; Transformers rounds before it multiplies by the weight. On a
CPU PyTorch takes the same single steps as Transformers, so that its class stays as it is there.
"""

from typing import Any

from torch import Tensor, nn
from torch.nn.functional import rms_norm

from rm_core.model.swapped import stand_before

__all__ = ["STEP_BY_STEP", "Fused", "fuse_norms"]

STEP_BY_STEP = {"cpu"}
"""Types of devices on which nothing is gained."""


class Fused:
    """Stands before one of Transformers' RMSNorm classes."""

    weight: nn.Parameter
    variance_epsilon: float

    def forward(self, hidden_states: Tensor) -> Tensor:
        """[..., E] from [..., E]."""
        if hidden_states.device.type in STEP_BY_STEP:
            parent: Any = super()
            stepped: Tensor = parent.forward(hidden_states)
            return stepped
        return rms_norm(hidden_states, (hidden_states.shape[-1],), self.weight, self.variance_epsilon)


def fuse_norms(backbone: nn.Module) -> None:
    """All RMSNorms of a backbone; LayerNorms are one kernel as they are."""
    for module in backbone.modules():
        if type(module).__name__.endswith("RMSNorm"):
            stand_before(module, Fused)
