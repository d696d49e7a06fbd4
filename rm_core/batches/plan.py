"""Which Comparisons form which optimiser step, and in which packs: a pure function of lengths, seed and step.

    lengths of the split -> endless shuffled stream (seed, epoch) -> step i takes the next `global_batch` Comparisons
    -> packs under the token and patch budgets -> dealt to the ranks

Nothing before the last arrow knows the number of ranks, so a run that resumes on another number of workers sees the
same Comparisons in the same steps. Nothing reads data: the planning table of the manifest is enough.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.batches.sizes import PlanningTable

__all__ = ["Pack", "PackBudget", "Plan", "StepPlan", "deal", "pack_first_fit"]


@dataclass(frozen=True, kw_only=True)
class PackBudget:
    """What one packed row may hold at most."""

    tokens: int
    patches: int


@dataclass(frozen=True, slots=True)
class Pack:
    """The Comparisons of one packed row, as rows of the planning table; an empty pack is a rank's idle turn."""

    rows: tuple[int, ...]
    cost: float = 0.0


@dataclass(frozen=True, slots=True)
class StepPlan:
    """One optimiser step over all ranks."""

    index: int
    epoch: float
    """Passes over the split that are complete when the step ends."""
    rows: tuple[int, ...]
    packs: tuple[Pack, ...]
    num_pairs: int
    """Ordered pairs of the step: what the loss sum is divided by."""


class Plan:
    """The whole order of a training.

    Args:
        table: the planning columns of the training split.
        num_steps: optimiser steps.
        global_batch: Comparisons a step.

    Raises:
        RunError: the split is empty.
        RecipeError: a Comparison alone exceeds a budget.
    """

    def __init__(
        self, table: PlanningTable, *, seed: int, global_batch: int, num_steps: int, budget: PackBudget
    ) -> None:
        if len(table) == 0:
            raise RunError("the training split holds no Comparison: see the manifest's counts for what was refused")
        table.check_fits(tokens=budget.tokens, patches=budget.patches)
        self._table = table
        self._seed = seed
        self._global_batch = global_batch
        self._budget = budget
        self.num_steps = num_steps

    def step(self, index: int) -> StepPlan:
        """Step `index`, 0 <= index < num_steps. Costs one permutation per epoch touched (cached), no I/O."""
        first = index * self._global_batch
        stream = range(first, first + self._global_batch)
        size = len(self._table)
        rows = tuple(int(self._epoch_order(place // size)[place % size]) for place in stream)
        packs = pack_first_fit(rows, self._table, self._budget)
        num_pairs = int(sum(self._table.num_pairs[row] for row in rows))
        return StepPlan(index, (first + self._global_batch) / size, rows, tuple(packs), num_pairs)

    def _epoch_order(self, epoch: int) -> npt.NDArray[np.int64]:
        return _permutation(len(self._table), self._seed, epoch)


@lru_cache(maxsize=4)
def _permutation(size: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    # Philox is a counter-based generator with a stable stream across NumPy versions and platforms.
    generator = np.random.Generator(np.random.Philox(key=[seed & 0xFFFF_FFFF_FFFF_FFFF, epoch]))
    return np.argsort(generator.random(size), kind="stable")


def pack_first_fit(rows: Sequence[int], table: PlanningTable, budget: PackBudget) -> list[Pack]:
    """First-fit decreasing under both budgets; ties keep the order of `rows`, so the result is one and only one."""
    order = sorted(range(len(rows)), key=lambda place: (-int(table.num_tokens[rows[place]]), place))
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for place in order:
        row = rows[place]
        tokens, patches = int(table.num_tokens[row]), int(table.num_patches[row])
        fit = next((i for i, (t, p) in enumerate(room) if tokens <= t and patches <= p), None)
        if fit is None:
            bins.append([])
            room.append((budget.tokens, budget.patches))
            fit = len(bins) - 1
        bins[fit].append(row)
        room[fit] = (room[fit][0] - tokens, room[fit][1] - patches)
    return [Pack(tuple(members), float(sum(table.cost[row] for row in members))) for members in bins]


def deal(packs: Sequence[Pack], world_size: int) -> list[list[Pack]]:
    """Give every rank the same number of packs, the costs as even as a snake deal makes them.

    Ranks that come up short get empty packs: all ranks run the same number of forward and backward passes, without
    which ZeRO's collectives would wait for ever.
    """
    ordered = sorted(packs, key=lambda pack: -pack.cost)
    hands: list[list[Pack]] = [[] for _ in range(world_size)]
    for start in range(0, len(ordered), world_size):
        turn = [*ordered[start : start + world_size]]
        turn += [Pack(())] * (world_size - len(turn))
        # Within a turn the largest pack goes to the rank with the least work so far.
        ranks = sorted(range(world_size), key=lambda rank: (sum(pack.cost for pack in hands[rank]), rank))
        for rank, pack in zip(ranks, turn, strict=True):
            hands[rank].append(pack)
    return hands
