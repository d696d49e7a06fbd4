"""From the first group of workers to the last: where each goes, how large it is, and whether there is another.

    wait for room -> one Ray Train group -> done
         ^                |-> a worker or node was lost, or failed: counted, and again from the newest checkpoint
         |                |-> a node goes or new ones have come: a checkpoint after the step, and again, nothing lost
         '----------------'

Ray Train's own restarts and resizes are not used: they know no node to avoid, and resize without a checkpoint.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import ray
from ray.train.v2.api.exceptions import TrainingFailedError

from cluster.capacity import list_nodes, room_for
from data_pipeline.errors import RunError
from data_pipeline.watcher import watching
from jobs.runtime.terminal import say
from jobs.runtime.termination import Terminated
from jobs.train.coordinator import GroupState
from jobs.train.failures import Budget, failure_of
from jobs.train.group import GroupJob, needs_of_worker, run_group, workers_in
from jobs.train.room import NoQueue, PlacementQueue, wait_for_room

__all__ = ["run_attempts"]

PLACING_S = 60.0  # a group that isn't placed in this time counted on a node that died meanwhile


def run_attempts(
    job: GroupJob,
    coordinator: Any,
    num_steps: int,
    stop_reason: Callable[[], str | None],
    queue: PlacementQueue | None = None,
) -> None:
    """Run groups until the training has done its `num_steps`.

    Args:
        stop_reason: why the training shall stop; None while it shall not.
        queue: where it shares the cluster with others of ours.

    Raises:
        RunError: a rank met an error that a restart cannot cure, a budget of failures is spent, or there is no room.
        Terminated: the training was asked to stop, and has done so after a checkpoint.
    """
    budget = Budget(job.config.group, job.section)
    while not _attempt(job, coordinator, num_steps, budget, stop_reason, queue or NoQueue()):
        pass


def _attempt(
    job: GroupJob,
    coordinator: Any,
    num_steps: int,
    budget: Budget,
    stop_reason: Callable[[], str | None],
    queue: PlacementQueue,
) -> bool:
    """One group; returns whether the training is done."""
    avoid = [*job.config.group.exclude_nodes, *budget.excluded()]
    lost: TrainingFailedError | None = None
    try:
        num_workers = wait_for_room(job, avoid, stop_reason, queue)
        ray.get(coordinator.new_attempt.remote(num_workers))
        with _watch_cluster(job, coordinator, num_workers, avoid):
            run_group(job, coordinator, num_workers, _ids(avoid), min(PLACING_S, job.config.group.start_timeout_s))
    except TrainingFailedError as error:
        lost = error
    finally:
        ray.get(coordinator.no_group.remote())
        queue.leave()
    state: GroupState = ray.get(coordinator.read.remote())
    if state.failure is not None:
        raise RunError(state.failure)
    early = state.ended_early
    if lost is None and (early is not None or state.steps_done >= num_steps):
        ray.get(coordinator.attempt_ended.remote("finished" if early is None else f"finished early: {early}"))
        return True
    if state.stop_reason is not None:
        raise Terminated(state.stop_reason)
    why = state.restart_reason if lost is None else _count(lost, state, budget)
    ray.get(coordinator.attempt_ended.remote(why or "stopped"))
    return False


def _count(lost: TrainingFailedError, state: GroupState, budget: Budget) -> str:
    """Spend the failure; returns what happened."""
    excluded = set(budget.excluded())
    why = budget.spend(failure_of(lost), state.locations)
    say(f"{why}: starting again")
    for node in set(budget.excluded()) - excluded:
        say(f"node {_address(node)} gets no worker any more: workers died on it {budget.deaths[node]} times")
    return why


def _ids(avoid: Sequence[str]) -> list[str]:
    """Ray's ids of the nodes in `avoid`, which may be addresses."""
    return [node.id for node in list_nodes() if {node.id, node.address} & set(avoid)]


def _address(node_id: str) -> str:
    return next((node.address for node in list_nodes() if node.id == node_id), node_id)


def _watch_cluster(
    job: GroupJob, coordinator: Any, num_workers: int, avoid: Sequence[str]
) -> AbstractContextManager[None]:
    """In the block, restart the group when one of its nodes is about to go, or when a larger one has room."""

    def look() -> bool:
        reason = _reason_to_move(job, ray.get(coordinator.read.remote()), num_workers, avoid)
        if reason is None:
            return False
        ray.get(coordinator.restart.remote(reason))
        say(f"{reason}: a checkpoint after this step, then on")
        return True

    return watching(look, every_s=job.config.group.watch_s, name="cluster")


def _reason_to_move(job: GroupJob, state: GroupState, num_workers: int, avoid: Sequence[str]) -> str | None:
    if len(state.locations) < num_workers or not state.is_training:  # it has not begun
        return None
    nodes = list_nodes()
    going = {node.id: node.address for node in nodes if node.draining}
    if leaving := sorted({going[one.node] for one in state.locations.values() if one.node in going}):
        return f"{', '.join(leaving)} is about to be taken away"
    if num_workers == job.config.num_workers:
        return None
    room = workers_in(job, num_workers + room_for(needs_of_worker(job), nodes, avoid))
    return f"there is room for {room} workers now" if room > num_workers else None
