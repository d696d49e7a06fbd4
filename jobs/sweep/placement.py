"""Which of a sweep's trials may look for room: a small Ray actor between the driver and the trials.

Trials of different sizes share one cluster. They look for room in the order they came, one at a time, and the next one
may look only when all workers of the one before are placed: so what Ray says is free is free, no two groups wait for
what the other took, and a large trial isn't passed over for ever by small ones.
"""

from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

__all__ = ["SweepCoordinator", "TrialPlacement", "TrialQueue", "start_sweep_coordinator"]


class TrialQueue:
    """The order of the trials, as ids.

    >>> queue = TrialQueue()
    >>> queue.is_first("a"), queue.is_first("b"), queue.others_placed("a")
    (True, False, False)
    >>> queue.placed("a")
    >>> queue.is_first("b"), queue.others_placed("b")
    (True, True)
    >>> queue.leave("a")
    >>> queue.others_placed("b")
    False
    """

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._placed: set[str] = set()

    def is_first(self, trial: str) -> bool:
        """Whether `trial` is the one that may look for room; it joins the end of the queue where it is not in it."""
        if trial not in self._waiting:
            self._placed.discard(trial)
            self._waiting.append(trial)
        return self._waiting[0] == trial

    def placed(self, trial: str) -> None:
        """`trial` has its room: the next one may look."""
        if trial in self._waiting:
            self._waiting.remove(trial)
            self._placed.add(trial)

    def leave(self, trial: str) -> None:
        """`trial` neither waits for room nor holds any."""
        self._placed.discard(trial)
        if trial in self._waiting:
            self._waiting.remove(trial)

    def others_placed(self, trial: str) -> bool:
        """Whether others hold room."""
        return bool(self._placed - {trial})


class SweepCoordinator(TrialQueue):
    """The actor behind the handle: the queue, tasks of trials, why attempts failed, whether the sweep stops."""

    def __init__(self) -> None:
        super().__init__()
        self._stop_reason: str | None = None
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

    def stop(self, reason: str) -> None:
        """The whole sweep shall stop."""
        self._stop_reason = self._stop_reason or reason

    def stop_reason(self) -> str | None:
        """Why the whole sweep stops; None while it goes on."""
        return self._stop_reason


class TrialPlacement:
    """One trial's `jobs.train.room.PlacementQueue`."""

    def __init__(self, coordinator: Any, trial: str) -> None:
        self._coordinator = coordinator
        self._trial = trial
        self._is_placed = False

    def is_first(self) -> bool:
        """Whether this trial may look for room."""
        is_first: bool = ray.get(self._coordinator.is_first.remote(self._trial))
        return is_first

    def others_placed(self) -> bool:
        """Whether other trials hold room."""
        others_placed: bool = ray.get(self._coordinator.others_placed.remote(self._trial))
        return others_placed

    def placed(self) -> None:
        """All workers run; may be said again and again."""
        if not self._is_placed:
            self._is_placed = True
            ray.get(self._coordinator.placed.remote(self._trial))

    def leave(self) -> None:
        """What the trial held is free."""
        self._is_placed = False
        ray.get(self._coordinator.leave.remote(self._trial))


def start_sweep_coordinator() -> Any:
    """A new coordinator, on the driver's node; returns its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(SweepCoordinator)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()
