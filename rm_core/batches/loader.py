"""The packed rows of one rank, in the order of the plan, prepared ahead.

plan -> this rank's packs, `_STEPS_AHEAD` steps early: remote shards are asked for
     -> `Decoder`, `prefetch` rows early: tensors
"""

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass

from rm_core.batches.decoding import Comparisons, Decoder
from rm_core.batches.packed import PackedBatch
from rm_core.batches.positions import RowFormat
from rm_core.packing.plan import Pack, Plan, StagedPlan, StepPlan
from rm_core.packing.sizes import PlanningTable
from rm_core.packing.whole import WholeTable

__all__ = ["Comparisons", "PackLoader", "RankStep"]

_STEPS_AHEAD = 4
"""Steps whose remote shards are asked for before their rows are made."""


@dataclass(frozen=True, slots=True)
class RankStep:
    """One optimiser step as one rank sees it: `num_rows` packed rows follow, the same number on every rank."""

    plan: StepPlan
    num_rows: int


class PackLoader:
    """Iterates over (step, its packed rows) from any step on; the position is the step's index and nothing else.

    Args:
        data: what `table.index` points into.
        row_format: of the backbone that will read the rows.
        prefetch: packed rows prepared ahead; at least one for each worker.
        num_workers: processes that prepare them; 0: a thread.
    """

    def __init__(
        self,
        data: Comparisons,
        table: PlanningTable,
        plan: Plan | StagedPlan | WholeTable,
        *,
        rank: int,
        world_size: int,
        row_format: RowFormat,
        prefetch: int,
        num_workers: int = 0,
    ) -> None:
        self._data = data
        self._table = table
        self._plan = plan
        self._rank = rank
        self._world_size = world_size
        self._row_format = row_format
        self._prefetch = max(1, prefetch, num_workers)
        self._num_workers = num_workers

    def steps(self, start: int) -> Generator[tuple[RankStep, Iterator[PackedBatch]]]:
        """Steps `start`, `start` + 1, ... to the plan's end. The rows of a step must be read before the next step.

        Raises:
            RunError: a Comparison cannot be read, or a worker process died.
        """
        with Decoder(self._data, row_format=self._row_format, num_workers=self._num_workers) as decoder:
            queue = _Queue(decoder, self._indices(start), self._prefetch)
            for step, packs in self._schedule(start):
                yield RankStep(step, len(packs)), queue.take(len(packs))

    def _indices(self, start: int) -> Iterator[list[int]]:
        """Rows of the data of each coming pack; announces those of later steps on the way."""
        ahead: deque[tuple[Pack, ...]] = deque()
        for _, packs in self._schedule(start):
            rows = [row for pack in packs for row in pack.rows]
            self._data.prefetch(self._table.index[rows])
            ahead.append(packs)
            if len(ahead) > _STEPS_AHEAD:
                yield from map(self._index, ahead.popleft())
        for packs in ahead:
            yield from map(self._index, packs)

    def _index(self, pack: Pack) -> list[int]:
        return [int(index) for index in self._table.index[list(pack.rows)]]

    def _schedule(self, start: int) -> Iterator[tuple[StepPlan, tuple[Pack, ...]]]:
        for index in range(start, self._plan.num_steps):
            step = self._plan.step(index)
            yield step, tuple(self._plan.schedule(step, self._world_size)[self._rank])


class _Queue:
    """Packed rows in the making: `depth` of them beside the one that is taken."""

    def __init__(self, decoder: Decoder, indices: Iterator[list[int]], depth: int) -> None:
        self._decoder = decoder
        self._indices = indices
        self._depth = depth
        self._waiting: deque[Future[PackedBatch]] = deque()

    def take(self, count: int) -> Iterator[PackedBatch]:
        """The next `count` rows."""
        for _ in range(count):
            yield self._next()

    def _next(self) -> PackedBatch:
        try:
            self._fill()
            batch = self._waiting.popleft().result()
            self._fill()
            return batch
        except BaseException:
            self._decoder.close()  # nobody reads on: the generator of steps may stay alive in a traceback
            raise

    def _fill(self) -> None:
        while len(self._waiting) <= self._depth and (indices := next(self._indices, None)) is not None:
            self._waiting.append(self._decoder.submit(indices))
