"""A plan of several stages, one after the other, each over a part of the same planning table.

    stage 1: Comparisons with images   steps 0 ... a - 1
    stage 2: text only                 steps a ... b - 1

To the loader it is one plan: steps are counted through, and rows are those of the whole table.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from rm_core.packing.first_fit import Pack
from rm_core.packing.plan import Plan, StepPlan

__all__ = ["Stage", "StagedPlan"]

Integers = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True, slots=True)
class Stage:
    """One part of a training.

    Attributes:
        name: for metrics and messages.
        plan: over the stage's own table.
        indices: int [N], row of the whole table of each row of the stage's.
    """

    name: str
    plan: Plan
    indices: Integers


class StagedPlan:
    """Stages in a row; pure, like each of their plans.

    Args:
        stages: at least one.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self.stages = tuple(stages)
        self._starts = np.cumsum([0, *(stage.plan.num_steps for stage in stages)]).tolist()
        self.num_steps = int(self._starts[-1])

    @property
    def starts(self) -> tuple[int, ...]:
        """The first step of each stage."""
        return tuple(self._starts[:-1])

    def stage_of(self, index: int) -> tuple[int, int]:
        """(number of the stage that step `index` belongs to, its offset in that stage)."""
        number = min(bisect_right(self._starts, index) - 1, len(self.stages) - 1)
        return number, index - self._starts[number]

    def step(self, index: int) -> StepPlan:
        """Step `index`, 0 <= index < num_steps; `epoch` counts passes of its stage."""
        number, offset = self.stage_of(index)
        stage = self.stages[number]
        step = stage.plan.step(offset)
        packs = tuple(_moved(pack, stage.indices) for pack in step.packs)
        return replace(step, index=index, rows=tuple(stage.indices[list(step.rows)].tolist()), packs=packs)

    def schedule(self, step: StepPlan, world_size: int) -> list[list[Pack]]:
        """The packs of `step` rank by rank, as `Plan.schedule`."""
        number, offset = self.stage_of(step.index)
        stage = self.stages[number]
        schedule = stage.plan.schedule(stage.plan.step(offset), world_size)
        return [[_moved(pack, stage.indices) for pack in rank_packs] for rank_packs in schedule]


def _moved(pack: Pack, indices: Integers) -> Pack:
    return replace(pack, rows=tuple(indices[list(pack.rows)].tolist()) if pack.rows else ())
