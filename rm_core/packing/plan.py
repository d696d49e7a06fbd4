"""Which Comparisons form which optimiser step, and in which packs: a pure function of lengths, seed and step.

    entries of the table -> endless shuffled stream (`order`)
      -> step i takes the next `global_batch` Comparisons, or as many as have so many pairs (`step_starts`)
      -> packs under the token and patch budgets (`first_fit`)
      -> a schedule for each rank, packed anew where that is more even (`balance`)

Nothing before the last arrow knows the number of ranks, so a run that resumes on another number of workers sees the
same Comparisons in the same steps. Nothing reads data, and nothing is kept but the planning table: any step of a table
of any size is planned on its own, many steps at once.

A `StagedPlan` has several stages, one after the other, each over a part of the same planning table:

    stage 1: Comparisons with images   steps 0 ... a - 1
    stage 2: text only                 steps a ... b - 1

To the loader it is one plan: steps are counted through, and rows are those of the whole table.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.packing.balance import balance
from rm_core.packing.first_fit import Pack, PackBudget, Packs, pack_ragged, pack_steps
from rm_core.packing.order import shuffled_places
from rm_core.packing.sizes import PlanningTable, StepCounts
from rm_core.packing.step_starts import step_starts

__all__ = ["Pack", "PackBudget", "Plan", "Stage", "StagedPlan", "StepPlan", "StepPlans", "pack_first_fit"]


_CHUNK = 1 << 17
"""Comparisons planned together: some ten milliseconds and megabytes."""


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One optimiser step over all ranks."""

    index: int
    epoch: float
    """Passes over the split that are complete when the step ends."""
    rows: tuple[int, ...]
    packs: tuple[Pack, ...]
    """As few as first-fit finds, whoever runs them; `Plan.schedule` assigns the step to ranks."""
    counts: StepCounts
    """What a sum over the step is divided by."""

    @property
    def cost(self) -> float:
        """FLOPs of the step's forward passes over all ranks."""
        return sum(pack.cost for pack in self.packs)


@dataclass(frozen=True, slots=True)
class StepPlans:
    """Some steps in a row as columns. Legend: S steps, G Comparisons a step, P packs.

    Attributes:
        first: index of the first step.
        rows: int64 [S, G], rows of the planning table in the order of the stream; -1 behind those of a step that has
            fewer than G.
        packs: which of them form which pack; its members index the flattened `rows`.
        costs: float64 [P], FLOPs of each pack's forward pass.
        counts: int64 [S, 6], the fields of `StepCounts` in their order.
    """

    first: int
    rows: npt.NDArray[np.int64]
    packs: Packs
    costs: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]

    def packs_of(self, index: int) -> tuple[Pack, ...]:
        """The packs of step `index`."""
        begin, end = self.packs.step_start[index - self.first : index - self.first + 2]
        members, start = self.rows.ravel()[self.packs.members], self.packs.pack_start
        return tuple(
            Pack(tuple(members[start[pack] : start[pack + 1]].tolist()), float(self.costs[pack]))
            for pack in range(int(begin), int(end))
        )

    def counts_of(self, index: int) -> StepCounts:
        """The counts of step `index`."""
        return StepCounts(*self.counts[index - self.first].tolist())


class Plan:
    """The whole order of a training.

    Args:
        table: the planning columns of the training split.
        num_steps: optimiser steps.
        global_batch: Comparisons a step, or pairs.
        unit: which of them: ``comparisons`` or ``pairs``.

    Attributes:
        epoch_units: what an epoch holds of these.

    Raises:
        RunError: the split is empty.
        RecipeError: a Comparison alone exceeds a budget, or the pairs of a step.
    """

    def __init__(
        self,
        table: PlanningTable,
        *,
        seed: int,
        global_batch: int,
        num_steps: int,
        budget: PackBudget,
        unit: str = "comparisons",
    ) -> None:
        if len(table) == 0:
            raise RunError("the training split holds no Comparison: see the manifest's counts for what was refused")
        table.check_fits(tokens=budget.tokens, patches=budget.patches)
        self._table = table
        self._seed = seed
        self._starts = step_starts(table, unit=unit, global_batch=global_batch, seed=seed)
        self._budget = budget
        self.num_steps = num_steps
        self.epoch_units = self._starts.epoch_units
        self.chunk_steps = max(1, _CHUNK // global_batch)
        self._chunk = lru_cache(maxsize=2)(self._plan_chunk)

    def step(self, index: int) -> StepPlan:
        """Step `index`, 0 <= index < num_steps. The steps around it are planned with it and kept; no I/O."""
        plans = self._chunk(index // self.chunk_steps)
        offset = index - plans.first
        return StepPlan(
            index=index,
            epoch=int(self._starts(np.array([index + 1]))[0]) / len(self._table),
            rows=tuple(row for row in plans.rows[offset].tolist() if row >= 0),
            packs=plans.packs_of(index),
            counts=plans.counts_of(index),
        )

    def schedule(self, step: StepPlan, world_size: int) -> list[list[Pack]]:
        """The packs of `step` rank by rank, one a turn: as many for every rank, their costs close in every turn."""
        return balance(step.rows, step.packs, self._table, self._budget, world_size)

    def steps(self, start: int, stop: int) -> StepPlans:
        """Steps `start` to `stop` - 1 as columns; `chunk_steps` of them at a time keep the memory small."""
        begin = self._starts(np.arange(start, stop + 1))
        sizes = np.diff(begin)
        stream = begin[:-1, None] + np.arange(sizes.max(initial=0))
        filled = stream < begin[1:, None]
        rows = np.where(filled, shuffled_places(stream, size=len(self._table), seed=self._seed), -1)
        packs = pack_ragged(self._table.num_tokens[rows], self._table.num_patches[rows], filled, self._budget)
        costs = packs.sums(self._table.cost[rows].ravel())
        return StepPlans(start, rows, packs, costs, self._table.counts(rows))

    def _plan_chunk(self, number: int) -> StepPlans:
        start = number * self.chunk_steps
        return self.steps(start, min(start + self.chunk_steps, self.num_steps))


def pack_first_fit(rows: Sequence[int], table: PlanningTable, budget: PackBudget) -> list[Pack]:
    """First-fit decreasing under both budgets; ties keep the order of `rows`, so the result is one and only one.

    Raises:
        ValueError: a Comparison alone exceeds a budget.
    """
    chosen: npt.NDArray[np.int64] = np.asarray(rows, dtype=np.int64)[None, :]
    tokens: npt.NDArray[Any] = table.num_tokens[chosen]
    packs = pack_steps(tokens, table.num_patches[chosen], budget)
    costs = packs.sums(table.cost[chosen].ravel())
    return list(StepPlans(0, chosen, packs, costs, table.counts(chosen)).packs_of(0))


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
