"""Who of a sweep's trials may look for room: a small Ray actor between the driver and the trials.

Trials of different sizes share one cluster. They look for room in the order they came, one at a time, and the next one
may look only when all workers of the one before are placed: so what Ray says is free is free, no two groups wait for
what the other took, and a large trial isn't passed over for ever by small ones.
"""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["PlacingQueue", "SweepBoard", "TrialTurns", "start_sweep_board"]


class PlacingQueue:
    """The order of the trials, as ids.

    >>> queue = PlacingQueue()
    >>> queue.mine("a"), queue.mine("b"), queue.crowded("a")
    (True, False, False)
    >>> queue.placed("a")
    >>> queue.mine("b"), queue.crowded("b")
    (True, True)
    >>> queue.leave("a")
    >>> queue.crowded("b")
    False
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._holding: set[str] = set()

    def mine(self, trial: str) -> bool:
        """Whether `trial` is the one that may look for room; it gets in line where it is not."""
        if trial not in self._waiting:
            self._holding.discard(trial)
            self._waiting.append(trial)
        return self._waiting[0] == trial

    def placed(self, trial: str) -> None:
        """`trial` has its place: the next one may look."""
        if trial in self._waiting:
            self._waiting.remove(trial)
            self._holding.add(trial)

    def leave(self, trial: str) -> None:
        """`trial` neither waits for room nor holds any."""
        self._holding.discard(trial)
        if trial in self._waiting:
            self._waiting.remove(trial)

    def crowded(self, trial: str) -> bool:
        """Whether others hold room."""
        return bool(self._holding - {trial})


class SweepBoard(PlacingQueue):
    """The actor behind the handle."""

    def __init__(self) -> None:
        super().__init__()
        self._ends: str | None = None
        self._tasks: dict[str, list[Any]] = {}
        self._failures: dict[str, str] = {}

    def put_task(self, trial: str, task: list[Any]) -> None:
        """The driver says what a trial is to do, as a reference in a list of one."""
        self._tasks[trial] = task

    def task(self, trial: str) -> list[Any]:
        """What a trial is to do, as it was put."""
        return self._tasks[trial]

    def fail(self, trial: str, reason: str) -> None:
        """An attempt at a trial failed."""
        self._failures[trial] = reason

    def failure(self, trial: str) -> str | None:
        """Why the last attempt at a trial failed, as it said itself; None where it said nothing."""
        return self._failures.pop(trial, None)

    def end(self, reason: str) -> None:
        """The whole sweep ends."""
        self._ends = self._ends or reason

    def ends(self) -> str | None:
        """Why the whole sweep ends; None while it goes on."""
        return self._ends


class TrialTurns:
    """One trial's `jobs.train.attempts.Turns`."""

    def __init__(self, board: Any, trial: str) -> None:
        self._board = board
        self._trial = trial
        self.has_place = False
        """All workers run."""

    def mine(self) -> bool:
        """Whether this trial may look for room."""
        mine: bool = ray.get(self._board.mine.remote(self._trial))
        return mine

    def crowded(self) -> bool:
        """Whether other trials hold room."""
        crowded: bool = ray.get(self._board.crowded.remote(self._trial))
        return crowded

    def placed(self) -> None:
        """All workers run; may be said again and again."""
        if not self.has_place:
            self.has_place = True
            ray.get(self._board.placed.remote(self._trial))

    def leave(self) -> None:
        """What the trial held is free."""
        self.has_place = False
        ray.get(self._board.leave.remote(self._trial))


def start_sweep_board() -> Any:
    """A new board, on the driver's node; returns its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(SweepBoard)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()
