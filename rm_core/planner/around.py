"""Seconds of a training beside its steps and evaluations: before the first step, for checkpoints, for the export.

start         `plan.start_s`, then the weights from the store, once a node
checkpoint    a copy of a rank's states in its CPU memory, for which the training waits; its upload goes on beside
              the steps, a part a rank, and holds the next save up where it takes longer than the steps between
end           the last upload is waited for
export        the weights are gathered, written once, and read and hashed by the audit, by one rank; then uploaded
"""

from dataclasses import dataclass

from rm_core.planner.architecture import Architecture
from rm_core.planner.config import PlanConfig
from rm_core.planner.memory import snapshot_bytes
from rm_core.planner.setting import Setting

__all__ = ["Around", "around_of"]

_COPY_GB_S = 3.0
"""10^9 bytes a second of states to new CPU memory that is not pinned, for each GPU: an assumption. Two CPU ranks copied
2.6 each (``benchmarks/results/checkpoint_cpu.json``)."""
_EXPORT_GB_S = 0.5
"""10^9 bytes a second of the model through one rank's export: written, hashed, read and hashed again, checked, loaded:
six passes at some 3. An assumption."""


@dataclass(frozen=True, kw_only=True)
class Around:
    """What a training takes beside its steps.

    Attributes:
        start_s: before the first step.
        checkpoints: written; the last step writes one.
        checkpoint_bytes: of one, all ranks' parts.
        copy_s: for which a checkpoint stops the steps.
        upload_s: from a checkpoint's copy to its end in the store.
        held_up_s: for which one waits for the upload before it.
        export_s: the finished model, its audit's files and its upload; what the audit computes is not known.
    """

    start_s: float
    checkpoints: int
    checkpoint_bytes: int
    copy_s: float
    upload_s: float
    held_up_s: float
    export_s: float

    @property
    def saving_s(self) -> float:
        """Of all checkpoints, as far as the training waits for them."""
        return self.checkpoints * self.copy_s + max(0, self.checkpoints - 1) * self.held_up_s + self.upload_s

    @property
    def total_s(self) -> float:
        """All of it."""
        return self.start_s + self.saving_s + self.export_s


def around_of(arch: Architecture, setting: Setting, config: PlanConfig, *, steps: int, step_s: float) -> Around:
    """What `steps` of `step_s` have around them."""
    part, weights = snapshot_bytes(arch, setting), setting.itemsize * arch.numel
    upload_s = part * setting.local_gpus / (config.store_gb_s * 1e9)
    weights_s = weights / (config.store_gb_s * 1e9)
    return Around(
        start_s=config.start_s + weights_s,
        checkpoints=-(-steps // setting.checkpoint_every),
        checkpoint_bytes=12 * arch.trained_numel,
        copy_s=part / (_COPY_GB_S * 1e9),
        upload_s=upload_s,
        held_up_s=max(0.0, upload_s - setting.checkpoint_every * step_s),
        export_s=weights / (_EXPORT_GB_S * 1e9) + weights_s,
    )
