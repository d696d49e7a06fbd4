"""Where each step begins in the endless shuffled stream: after so many Comparisons, or after so many judged pairs.

Both are closed forms of the step: nothing is counted from the first step on.
"""

from functools import lru_cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RecipeError
from rm_core.packing.order import shuffled_places
from rm_core.packing.sizes import PlanningTable

__all__ = ["ByComparisons", "ByPairs", "StepStarts", "step_starts"]

Integers = npt.NDArray[np.integer[Any]]


class StepStarts(Protocol):
    """Where steps begin."""

    epoch_units: int
    """What an epoch holds of what a step counts."""

    def __call__(self, steps: Integers) -> npt.NDArray[np.int64]:
        """Position in the stream where each of these steps begins."""


class ByComparisons:
    """Steps of `global_batch` entries of the table."""

    def __init__(self, table: PlanningTable, *, global_batch: int) -> None:
        self.epoch_units = len(table)
        self._global_batch = global_batch

    def __call__(self, steps: Integers) -> npt.NDArray[np.int64]:
        """As `StepStarts`."""
        return np.asarray(steps, dtype=np.int64) * self._global_batch


class ByPairs:
    """Steps of `global_batch` pairs: step i begins with the first entry before which i * `global_batch` pairs stand.

    So a step has `global_batch` pairs but for what its first and last entry have too few or too many, and all steps
    together neither more nor fewer. The running sums of an epoch take 8 bytes an entry.

    Raises:
        RecipeError: an entry has more pairs than a step, which some steps would then hold nothing of.
    """

    def __init__(self, table: PlanningTable, *, global_batch: int, seed: int) -> None:
        largest = int(np.argmax(table.num_pairs))
        if (most := int(table.num_pairs[largest])) > global_batch:
            raise RecipeError(
                f"train.global_batch={global_batch} counts pairs, and Comparison {table.ids[largest]!r} has {most}: "
                f"raise it to {most} or more, or set train.global_batch_unit=comparisons"
            )
        self.epoch_units = int(table.num_pairs.sum(dtype=np.int64))
        self._pairs, self._seed, self._global_batch = table.num_pairs, seed, global_batch
        self._running = lru_cache(maxsize=2)(self._running_of)

    def __call__(self, steps: Integers) -> npt.NDArray[np.int64]:
        """As `StepStarts`."""
        epochs, inside = np.divmod(np.asarray(steps, dtype=np.int64) * self._global_batch, self.epoch_units)
        found = epochs * len(self._pairs)
        for epoch in np.unique(epochs).tolist():
            own = epochs == epoch
            found[own] += np.searchsorted(self._running(epoch), inside[own], side="left")
        return found

    def _running_of(self, epoch: int) -> npt.NDArray[np.int64]:
        """int64 [N + 1]: pairs of the epoch before each of its positions."""
        size = len(self._pairs)
        places = shuffled_places(np.arange(epoch * size, (epoch + 1) * size), size=size, seed=self._seed)
        return np.concatenate([[0], np.cumsum(self._pairs[places], dtype=np.int64)])


def step_starts(table: PlanningTable, *, unit: str, global_batch: int, seed: int) -> StepStarts:
    """By `train.global_batch_unit`: ``comparisons`` or ``pairs``.

    Raises:
        RecipeError: as for `ByPairs`.
    """
    if unit == "pairs":
        return ByPairs(table, global_batch=global_batch, seed=seed)
    assert unit == "comparisons", unit
    return ByComparisons(table, global_batch=global_batch)
