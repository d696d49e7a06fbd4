"""Kernels that a row launches: a GPU with little to do in each waits for the host that launches them.

Counted a layer by ``tests/unit/rm_core/model/test_kernel_budget.py``, for Qwen2.5-VL's layers and blocks, uncompiled;
compiled parts launch fewer. Embeddings, merger, head and loss are left out: they are there once a row.
"""

from typing import NamedTuple

from rm_core.planner.architecture import Architecture

__all__ = ["BLOCK", "LAYER", "Launches", "launches_of_row"]


class Launches(NamedTuple):
    """Of one layer.

    Attributes:
        forward, backward: kernels.
        kept: of the forward ones, products and attention, which `selective` does not launch again.
    """

    forward: int
    backward: int
    kept: int

    def of(self, recompute: str, *, trains: bool = True) -> int:
        """In a whole row; `trains`: whether there is a backward pass."""
        again = {"none": 0, "selective": self.forward - self.kept, "full": self.forward}[recompute]
        return self.forward + (again + self.backward if trains else 0)


LAYER = Launches(forward=20, backward=55, kept=8)
BLOCK = Launches(forward=16, backward=46, kept=6)


def launches_of_row(arch: Architecture, recompute: str) -> int:
    """Of the decoder's layers and the tower's blocks: of the 7B model, 4,084 where nothing is made again."""
    of_decoder = arch.text.num_hidden_layers * LAYER.of(recompute)
    if arch.tower is None:
        return int(of_decoder)
    return int(of_decoder + arch.tower.blocks * BLOCK.of(recompute, trains="vision" in arch.trained_parts))
