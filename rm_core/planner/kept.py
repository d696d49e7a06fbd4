"""What a rank keeps of a training, in bytes: the result of `states` for every engine."""

from dataclasses import dataclass

__all__ = ["States"]


@dataclass(frozen=True, kw_only=True)
class States:
    """Bytes on one rank, the fullest one; on the GPU but for `host`.

    Attributes:
        weights: what the model computes with; under stage 3 of DeepSpeed this rank's shards and the small parameters
            kept whole.
        masters: float32 weights that the optimiser updates.
        moments: both of Adam's.
        gradients: kept from the first row of a step to its end.
        buffers: made once and kept.
        backward: more, while a row's gradients are made and sent.
        step: more, while the optimiser steps; of FSDP, when a row's backward pass is over.
        start: the most, while the engine is built, before there are moments.
        host: in CPU memory: what is offloaded.
    """

    weights: int
    masters: int
    moments: int
    gradients: int
    buffers: int
    backward: int
    step: int
    start: int
    host: int

    @property
    def kept(self) -> int:
        """On the GPU between two rows of a step."""
        return self.weights + self.masters + self.moments + self.gradients + self.buffers
