"""The packed rows of one rank, in the order of the plan, prepared ahead by threads.

Decoding and resizing release the interpreter lock, so threads are enough, and nothing is pickled.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from data_pipeline.encode import EncodedComparison
from rm_core.batches.packed import PackedBatch, collate
from rm_core.batches.plan import Plan, StepPlan, deal
from rm_core.batches.sizes import PlanningTable

__all__ = ["Comparisons", "PackLoader", "RankStep"]


class Comparisons(Protocol):
    """Anything that gives encoded Comparisons by row: `data_pipeline.dataset.PreparedData`, or a list in a test."""

    def encoded(self, index: int) -> EncodedComparison:
        """Row `index`."""
        ...


@dataclass(frozen=True, slots=True)
class RankStep:
    """One optimiser step as one rank sees it: `num_rows` packed rows follow, the same number on every rank."""

    plan: StepPlan
    num_rows: int


class PackLoader:
    """Iterates over (step, its packed rows) from any step on; the position is the step's index and nothing else.

    Args:
        data: what `table.index` points into.
        prefetch: packed rows prepared ahead.
    """

    def __init__(
        self,
        data: Comparisons,
        table: PlanningTable,
        plan: Plan,
        *,
        rank: int,
        world_size: int,
        image_token: int,
        prefetch: int,
    ) -> None:
        self._data = data
        self._table = table
        self._plan = plan
        self._rank = rank
        self._world_size = world_size
        self._image_token = image_token
        self._prefetch = max(1, prefetch)

    def steps(self, start: int) -> Iterator[tuple[RankStep, Iterator[PackedBatch]]]:
        """Steps `start`, `start` + 1, ... to the plan's end. The rows of a step must be read before the next step."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="pack") as pool:
            hands = ((step, deal(step.packs, self._world_size)[self._rank]) for step in self._planned(start))
            waiting: deque[Future[PackedBatch]] = deque()
            announced: deque[RankStep] = deque()

            def fill() -> None:
                while len(waiting) <= self._prefetch and (hand := next(hands, None)) is not None:
                    step, packs = hand
                    announced.append(RankStep(step, len(packs)))
                    waiting.extend(pool.submit(self._load, pack.rows) for pack in packs)

            fill()
            while announced:
                step = announced.popleft()
                yield step, self._rows(waiting, step.num_rows)
                fill()

    def _rows(self, waiting: deque[Future[PackedBatch]], count: int) -> Iterator[PackedBatch]:
        for _ in range(count):
            yield waiting.popleft().result()

    def _planned(self, start: int) -> Iterator[StepPlan]:
        return (self._plan.step(index) for index in range(start, self._plan.num_steps))

    def _load(self, rows: tuple[int, ...]) -> PackedBatch:
        items = [self._data.encoded(int(self._table.index[row])) for row in rows]
        return collate(items, image_token=self._image_token)
