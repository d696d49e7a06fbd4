"""Wait for room for the next group, in the queue of all trainings on the cluster, and print what is missing."""

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from cluster.capacity import Node, launches, list_nodes, reserve, room_for
from data_pipeline.errors import NoRoom
from jobs.runtime.terminal import say
from jobs.runtime.termination import Terminated
from jobs.train.group import GroupJob, needs_of_worker, workers_in

__all__ = ["NoQueue", "PlacementQueue", "wait_for_room"]

POLL_S = 0.5
SETTLE_S = 5.0  # with fewer workers than wished: how long to wait for the others
REPEAT_S = 60.0  # between two lines of a long wait


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


def wait_for_room(
    job: GroupJob, avoid: Sequence[str], stop_reason: Callable[[], str | None], queue: PlacementQueue
) -> int:
    """Wait until the group has room; returns the number of its workers.

    Raises:
        NoRoom: there was none for ``group.start_timeout_s``.
        Terminated: the training is asked to stop.
    """
    config, need = job.config, needs_of_worker(job)
    fewest = config.group.min_workers or config.num_workers
    start_s = time.monotonic()
    enough_since_s: float | None = None
    said_s: float | None = None
    try:
        while True:
            if (reason := stop_reason()) is not None:
                raise Terminated(reason)
            if not queue.is_first():
                time.sleep(POLL_S)
                start_s = time.monotonic()
                continue
            nodes = list_nodes()
            room, now_s = workers_in(job, room_for(need, nodes, avoid)), time.monotonic()
            enough_since_s = (enough_since_s or now_s) if room >= fewest else None
            settled = enough_since_s is not None and now_s - enough_since_s >= SETTLE_S
            if room == config.num_workers or settled:
                if room < config.num_workers:
                    say(f"going on with {room} of {config.num_workers} workers: {_missing(job, nodes, room, avoid)}")
                return room
            if queue.others_placed():
                start_s = now_s
            if now_s - start_s >= config.group.start_timeout_s:
                waited = f"after {job.section}.group.start_timeout_s={config.group.start_timeout_s:g} s"
                raise NoRoom(f"no room for the group {waited}: {_missing(job, nodes, room, avoid)}{_coming()}")
            if now_s - start_s >= SETTLE_S:
                reserve(need, config.num_workers)
                if said_s is None or now_s - said_s >= REPEAT_S:
                    waited = f"waiting for room, since {now_s - start_s:.0f} s"
                    say(f"{waited}: {_missing(job, nodes, room, avoid)}{_coming()}")
                    said_s = now_s
            time.sleep(POLL_S)
    finally:
        if said_s is not None:
            reserve(need, 0)


def _coming() -> str:
    """What the autoscaler says, for the end of a line."""
    return f"; the autoscaler: {said}" if (said := launches()) else ""


def _missing(job: GroupJob, nodes: Sequence[Node], room: int, avoid: Sequence[str]) -> str:
    """What there is and what is not, node by node."""
    need = needs_of_worker(job)
    wants = ", ".join(f"{amount:g} {name}" for name, amount in need.items() if not name.startswith("accelerator_type"))
    kind = f" ({job.config.group.accelerator})" if job.config.group.accelerator else ""
    whole = f" in groups of {job.together}" if job.together > 1 else ""
    return (
        f"{job.config.num_workers} workers of {wants}{kind} each are wanted, there is room for {room}{whole}; nodes: "
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
