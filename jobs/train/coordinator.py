"""A small Ray actor between the driver and its workers: how far the group is, and whether it shall stop.

workers -> where they run, steps done, notes for the user                                       -> driver
driver  -> stop after the next step (SIGTERM), or restart elsewhere (a node goes, or more came) -> workers
"""

import time
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.train.record import Attempt

__all__ = ["Coordinator", "GroupState", "Location", "StopRequested", "start_coordinator"]


@dataclass(frozen=True)
class Location:
    """Where a rank runs."""

    node: str
    """Ray's id of the node."""
    address: str


@dataclass
class GroupState:
    """What the coordinator knows of the group."""

    steps_done: int = 0
    note: str = ""
    resumed_from: list[int] = field(default_factory=list)
    """For every attempt, the steps done when it began: 0 for the first."""
    is_training: bool = False
    """Whether this attempt has loaded and trains."""
    notes: list[str] = field(default_factory=list)
    """What ranks found worth saying, each once."""
    locations: dict[int, Location] = field(default_factory=dict)
    """Of the ranks of this attempt that have begun."""
    restart_reason: str | None = None
    """Why this attempt shall end after its next step, for another one to go on."""
    stop_reason: str | None = None
    """Why the training shall stop after the next step; None: it shall not."""
    attempts: list[Attempt] = field(default_factory=list)
    """Those of this driver."""
    num_workers: int = 0
    """Of the group that is starting or runs; 0: there is none."""
    evaluated: str = ""
    """What the last evaluation found, in a few words."""
    loss: float | None = None
    """The last that was logged."""
    ended_early: str | None = None
    """Why the training ends before its plan does, though nobody asked it to; None: it does not."""
    failure: str | None = None
    """Why going on would fail again: a message for the user. Later attempts end at once."""


class Coordinator:
    """The actor behind the handle."""

    def __init__(self) -> None:
        self._state = GroupState()

    def new_attempt(self, num_workers: int) -> None:
        """The driver is about to start a group of so many."""
        self._state.locations, self._state.restart_reason, self._state.num_workers = {}, None, num_workers
        self._state.is_training = False
        self._state.attempts.append(Attempt(began_s=time.time()))

    def attempt_ended(self, reason: str) -> None:
        """The driver has seen why the group ended."""
        attempt = self._state.attempts[-1]
        attempt.seconds, attempt.ended = time.time() - attempt.began_s, reason

    def no_group(self) -> None:
        """The group has ended; where its workers were is still shown."""
        self._state.num_workers = 0

    def begin(self, rank: int, location: Location) -> str | None:
        """A worker says where it is and asks, before it starts, whether an earlier attempt failed for good."""
        self._state.locations[rank] = location
        attempt = self._state.attempts[-1]
        attempt.workers = len(self._state.locations)
        attempt.nodes = sorted({one.address for one in self._state.locations.values()})
        return self._state.failure

    def started(self, steps_done: int) -> None:
        """World rank 0 begins to train after so many steps."""
        self._state.resumed_from.append(steps_done)
        self._state.is_training = True
        self._state.steps_done = steps_done
        self._state.attempts[-1].first_step = self._state.attempts[-1].last_step = steps_done

    def advance(self, steps_done: int, note: str, loss: float | None) -> None:
        """World rank 0 has done so many steps; `loss` is their mean since the last call, None where there is none."""
        self._state.steps_done = self._state.attempts[-1].last_step = steps_done
        self._state.note = note
        self._state.loss = self._state.loss if loss is None else loss

    def evaluated(self, text: str) -> None:
        """World rank 0 has evaluated, with this in a few words."""
        self._state.evaluated = text

    def end_early(self, reason: str) -> None:
        """The group ends after this step and exports its model."""
        self._state.ended_early = reason
        self.note(f"the training ends early: {reason}")

    def note(self, text: str) -> None:
        """A rank has something to say that does not end the training."""
        if text not in self._state.notes:
            self._state.notes.append(text)

    def fail(self, message: str) -> None:
        """A rank met an error that a restart cannot cure."""
        self._state.failure = self._state.failure or message

    def stop(self, reason: str) -> None:
        """The training shall stop after its next step, with a checkpoint."""
        self._state.stop_reason = self._state.stop_reason or reason

    def restart(self, reason: str) -> None:
        """The group shall end after its next step, because of `reason`; another one goes on."""
        self._state.restart_reason = self._state.restart_reason or reason

    def should_stop(self) -> bool:
        """Whether the group shall end after its next step."""
        return self._state.stop_reason is not None or self._state.restart_reason is not None

    def read(self) -> GroupState:
        """What there is to show."""
        return self._state


class StopRequested:
    """Whether the group shall end, as a rank asks once a step: the answer of a moment ago, without waiting for one."""

    def __init__(self, coordinator: Any) -> None:
        self._coordinator = coordinator
        self._answer: Any = coordinator.should_stop.remote()

    def __call__(self) -> bool:
        ready, _ = ray.wait([self._answer], timeout=0)
        if not ready:
            return False
        should_stop: bool = ray.get(self._answer)
        self._answer = self._coordinator.should_stop.remote()
        return should_stop


def start_coordinator() -> Any:
    """A new coordinator, on the driver's node, which is the one that may not die; returns its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Coordinator)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()
