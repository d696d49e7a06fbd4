"""One step's Comparisons in packs for a given number of ranks, so that no rank waits long for another.

The ranks work in turns: in a turn each runs one packed row, and the turn ends with the row that costs most (ZeRO's
collectives join the ranks in every turn). A step takes the sum of the turns' largest costs, at best that of their mean
costs. First-fit packing knows tokens and no ranks: it leaves a short last row, and ranks without a row.

    rows of the step -> the fewest turns whose packs, one a rank, hold them: the costliest Comparison first, each into
                        the pack of least cost that has room under both budgets ("longest processing time first", Graham
                        1969, "Bounds on multiprocessing timing anomalies")
                     -> packs by falling cost, a turn's worth at a time
                     -> of a turn, the largest to the rank with the least work so far

Where the budgets are too tight for that rule, the first-fit packs are cut in two, the costliest first, until each rank
has one. All of it is pure and deterministic; a rank idles only where a step has fewer Comparisons than packs.
"""

from collections.abc import Mapping, Sequence
from heapq import heappop, heappush, heapreplace
from itertools import count
from typing import NamedTuple

import numpy as np

from rm_core.packing.first_fit import Pack, PackBudget
from rm_core.packing.sizes import PlanningTable

__all__ = ["assign", "balance"]


class _Item(NamedTuple):
    """One Comparison."""

    row: int
    cost: float
    tokens: int
    patches: int


class _Bin:
    """A pack in the making."""

    __slots__ = ("cost", "items", "patches", "tokens")

    def __init__(self) -> None:
        self.items: list[_Item] = []
        self.cost, self.tokens, self.patches = 0.0, 0, 0

    def has_room(self, item: _Item, budget: PackBudget) -> bool:
        return self.tokens + item.tokens <= budget.tokens and self.patches + item.patches <= budget.patches

    def add(self, item: _Item) -> None:
        self.items.append(item)
        self.cost += item.cost
        self.tokens += item.tokens
        self.patches += item.patches

    def pack(self) -> Pack:
        return Pack(tuple(item.row for item in self.items), self.cost)


def balance(
    rows: Sequence[int], first_fit: Sequence[Pack], table: PlanningTable, budget: PackBudget, world_size: int
) -> list[list[Pack]]:
    """The packs of each rank, as many for every rank; empty ones, which are idle turns, only at the end.

    Args:
        rows: the step's Comparisons, as rows of `table`; each fits the budget alone.
        first_fit: the same in packs, as few as first-fit finds: what one rank runs.
    """
    if world_size == 1:
        return assign(first_fit, 1)
    items = _by_falling_cost(rows, table)
    tokens, patches = sum(item.tokens for item in items), sum(item.patches for item in items)
    least = max(1, -(-tokens // budget.tokens), -(-patches // budget.patches))
    for turns in count(-(-least // world_size)):
        packs = _longest_first(items, turns * world_size, budget)
        if packs is None and len(first_fit) <= turns * world_size:
            packs = _cut_up(first_fit, turns * world_size, {item.row: item for item in items})
        if packs is not None:
            return assign(packs, world_size)
    raise AssertionError("unreachable: at some number of turns the first-fit packs are few enough")


def assign(packs: Sequence[Pack], world_size: int) -> list[list[Pack]]:
    """Give every rank the same number of packs: turns of about equal cost, filled up with empty packs.

    All ranks run the same number of forward and backward passes, without which ZeRO's collectives would wait for ever.
    """
    ordered = sorted(packs, key=lambda pack: (not pack.rows, -pack.cost))
    ordered += [Pack(())] * (-len(ordered) % world_size)
    schedule: list[list[Pack]] = [[] for _ in range(world_size)]
    held = [0.0] * world_size
    for start in range(0, len(ordered), world_size):
        ranks = sorted(range(world_size), key=lambda rank: (held[rank], rank))
        for rank, pack in zip(ranks, ordered[start : start + world_size], strict=True):
            schedule[rank].append(pack)
            held[rank] += pack.cost
    return schedule


def _by_falling_cost(rows: Sequence[int], table: PlanningTable) -> list[_Item]:
    """Ties keep the order of `rows`."""
    chosen = np.asarray(rows, dtype=np.int64)
    chosen = chosen[np.argsort(-table.cost[chosen], kind="stable")]
    columns = (chosen, table.cost[chosen], table.num_tokens[chosen], table.num_patches[chosen])
    return [_Item(*values) for values in zip(*(column.tolist() for column in columns), strict=True)]


def _longest_first(items: Sequence[_Item], num_packs: int, budget: PackBudget) -> list[Pack] | None:
    """Items, given by falling cost, each into the pack of least cost with room for it; None: one finds no room."""
    bins = [_Bin() for _ in range(num_packs)]
    heap = [(0.0, 0, index) for index in range(num_packs)]
    for item in items:
        full = []
        while heap and not bins[heap[0][2]].has_room(item, budget):
            full.append(heappop(heap))
        if not heap:
            return None
        index = heap[0][2]
        bins[index].add(item)
        heapreplace(heap, (bins[index].cost, len(bins[index].items), index))
        for entry in full:
            heappush(heap, entry)
    return [found.pack() for found in bins]


def _cut_up(packs: Sequence[Pack], num_packs: int, items: Mapping[int, _Item]) -> list[Pack]:
    """`num_packs` packs: the costliest one that holds two Comparisons is halved, again and again while there is one."""
    whole = [pack for pack in packs if len(pack.rows) == 1]
    heap = [(-pack.cost, index, pack) for index, pack in enumerate(packs) if len(pack.rows) > 1]
    heap.sort()
    numbers = count(len(packs))
    while heap and len(heap) + len(whole) < num_packs:
        for half in _halves([items[row] for row in heappop(heap)[2].rows]):
            if len(half.rows) == 1:
                whole.append(half)
            else:
                heappush(heap, (-half.cost, next(numbers), half))
    return whole + [pack for _, _, pack in heap]


def _halves(items: Sequence[_Item]) -> list[Pack]:
    """Two packs of about equal cost; neither is empty."""
    halves = (_Bin(), _Bin())
    for item in sorted(items, key=lambda item: -item.cost):
        min(halves, key=lambda half: (half.cost, len(half.items))).add(item)
    return [half.pack() for half in halves]
