"""From the first group of workers to the last: where each goes, how large it is, and whether there is another.

    wait for room -> one Ray Train group -> done
         ^                |-> a worker or node was lost, or failed: counted, and again from the newest checkpoint
         |                |-> a node goes or new ones have come: a checkpoint after the step, and again, nothing lost
         '----------------'

Ray Train's own restarts and resizes are not used: they know no node to avoid, and resize without a checkpoint.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import ray
from ray.train.v2.api.exceptions import TrainingFailedError

from cluster.capacity import Node, list_nodes, reserve, room_for
from data_pipeline.errors import RunError
from jobs.runtime.terminal import say
from jobs.runtime.termination import Terminated
from jobs.runtime.watcher import watching
from jobs.train.coordinator import GroupState
from jobs.train.failures import Budget, failure_of
from jobs.train.group import GroupJob, needs_of_worker, run_group

__all__ = ["PlacementQueue", "run_attempts"]

POLL_S = 0.5
SETTLE_S = 5.0  # with fewer workers than wished: how long to wait for the others
PLACING_S = 60.0  # a group that isn't placed in this time counted on a node that died meanwhile


class PlacementQueue(Protocol):
    """The line of several trainings on one cluster: the first looks for room, until all its workers are placed."""

    def is_first(self) -> bool:
        """Whether this training may look for room now; the first call puts it at the end of the line."""

    def others_placed(self) -> bool:
        """Whether others of them hold room, so that there will be more."""

    def leave(self) -> None:
        """The group has ended: its room is free."""


class NoQueue:
    """The `PlacementQueue` of a training that shares the cluster with none of ours."""

    def is_first(self) -> bool:
        """It always may."""
        return True

    def others_placed(self) -> bool:
        """There are no others."""
        return False

    def leave(self) -> None:
        """Nobody waits."""


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
    budget = Budget(job.config.group)
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
        num_workers = _wait_for_room(job, avoid, stop_reason, queue)
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
    if lost is None and state.steps_done >= num_steps:
        ray.get(coordinator.attempt_ended.remote("finished"))
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


def _wait_for_room(
    job: GroupJob, avoid: Sequence[str], stop_reason: Callable[[], str | None], queue: PlacementQueue
) -> int:
    """Wait until the group has room; returns the number of its workers."""
    config, need = job.config, needs_of_worker(job)
    fewest = config.group.min_workers or config.num_workers
    start_s = time.monotonic()
    enough_since_s: float | None = None
    announced = False
    try:
        while True:
            if (reason := stop_reason()) is not None:
                raise Terminated(reason)
            if not queue.is_first():
                time.sleep(POLL_S)
                start_s = time.monotonic()
                continue
            nodes = list_nodes()
            room, now_s = min(room_for(need, nodes, avoid), config.num_workers), time.monotonic()
            enough_since_s = (enough_since_s or now_s) if room >= fewest else None
            settled = enough_since_s is not None and now_s - enough_since_s >= SETTLE_S
            if room == config.num_workers or settled:
                if room < config.num_workers:
                    say(f"going on with {room} of {config.num_workers} workers: {_missing(job, nodes, room, avoid)}")
                return room
            if queue.others_placed():
                start_s = now_s
            if now_s - start_s >= config.group.start_timeout_s:
                waited = f"after train.group.start_timeout_s={config.group.start_timeout_s:g} s"
                raise RunError(f"no room for the group {waited}: {_missing(job, nodes, room, avoid)}")
            if not announced and now_s - start_s >= SETTLE_S:
                announced = True
                reserve(need, config.num_workers)
                say(f"waiting for room: {_missing(job, nodes, room, avoid)}")
            time.sleep(POLL_S)
    finally:
        if announced:
            reserve(need, 0)


def _missing(job: GroupJob, nodes: Sequence[Node], room: int, avoid: Sequence[str]) -> str:
    """What there is and what is not, node by node."""
    need = needs_of_worker(job)
    wants = ", ".join(f"{amount:g} {name}" for name, amount in need.items() if not name.startswith("accelerator_type"))
    kind = f" ({job.config.group.accelerator})" if job.config.group.accelerator else ""
    return (
        f"{job.config.num_workers} workers of {wants}{kind} each are wanted, there is room for {room}; nodes: "
        + "; ".join(_described(node, need, avoid) for node in nodes if node.total or not node.alive)
    )


def _described(node: Node, need: dict[str, float], avoid: Sequence[str]) -> str:
    if not node.alive:
        return f"{node.address} is dead"
    free = ", ".join(
        f"{node.free.get(name, 0):g} of {node.total.get(name, 0):g} {name} free"
        if not name.startswith("accelerator_type")
        else ("" if name in node.total else f"no {name.partition(':')[2]}")
        for name in need
    ).strip(", ")
    state = ", excluded" if {node.id, node.address} & set(avoid) else ", going away" if node.draining else ""
    return f"{node.address} has {free}{state}"


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
    if len(state.locations) < num_workers or not state.resumed_from:  # it has not begun
        return None
    nodes = list_nodes()
    going = {node.id: node.address for node in nodes if node.draining}
    if leaving := sorted({going[one.node] for one in state.locations.values() if one.node in going}):
        return f"{', '.join(leaving)} is about to be taken away"
    more = room_for(needs_of_worker(job), nodes, avoid)
    if num_workers < job.config.num_workers and more > 0:
        return f"there is room for {min(num_workers + more, job.config.num_workers)} workers now"
    return None
