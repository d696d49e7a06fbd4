"""Steps with a loss or gradient that is not finite: left out, named, and not too many in a row."""

import math
from collections.abc import Callable

import torch.distributed as dist

from data_pipeline.errors import RunError
from data_pipeline.shown import one_line
from rm_core.training.accumulation import StepSums

__all__ = ["Skips"]

_NAMED = 8
_ID_CHARS = 80


class Skips:
    """Counts the steps that were left out; the engine has not changed weights or moments in them.

    Args:
        most: steps in a row that may be left out.
        note: gets what happened, on world rank 0.
    """

    def __init__(self, most: int, note: Callable[[str], None]) -> None:
        self._most = most
        self._note = note
        self._in_a_row = 0

    def after(self, index: int, sums: StepSums, grad_norm: float) -> bool:
        """Whether step `index` was left out; equal on all ranks, and a collective call where it was.

        Raises:
            RunError: too many in a row; says which Comparisons are behind it.
        """
        losses = {name: sums[f"loss_{name}"] for name in sums.units}
        if all(map(math.isfinite, (grad_norm, *losses.values()))):
            self._in_a_row = 0
            return False
        assert not math.isfinite(grad_norm), "the accumulator marks the gradient of a loss that is not finite"
        self._in_a_row += 1
        found = (
            f"step {index + 1}: loss sums {losses}, gradient norm {grad_norm}, by these Comparisons: {_suspects(sums)}"
        )
        if self._in_a_row > self._most:
            raise RunError(
                f"{found}; {self._in_a_row} steps in a row, train.health.max_skipped_steps is {self._most}: lower "
                "train.optimizer.learning_rate, or look at these Comparisons"
            )
        if dist.get_rank() == 0:
            self._note(f"{found}; the step was left out ({self._in_a_row} in a row)")
        return True


def _suspects(sums: StepSums) -> str:
    """Ids of the rows with a loss or reward that is not finite, of all ranks; where all are finite, of all rows."""
    own = [(ids, bool(finite)) for ids, finite in sums.rows]
    ranks: list[list[tuple[tuple[str, ...], bool]]] = [[] for _ in range(dist.get_world_size())]
    dist.all_gather_object(ranks, own)
    rows = [row for rank in ranks for row in rank]
    bad = [ids for ids, finite in rows if not finite] or [ids for ids, _ in rows]
    named = [name for ids in bad for name in ids]
    shown = ", ".join(one_line(name, _ID_CHARS) for name in named[:_NAMED])
    return shown + (f", ... ({len(named)} in all)" if len(named) > _NAMED else "")
