"""How far the group is, and what it shall do: a small Ray actor between the driver and its workers.

workers  -> where they run, steps done, words for the user
driver   -> end after the next step, for good (SIGTERM) or to go on elsewhere (a node goes, or more have come)
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from jobs.runtime.terminal import progress, say
from jobs.runtime.termination import first_sigterm
from jobs.train.record import Attempt

__all__ = ["BoardState", "Place", "StopAsked", "Watch", "follow", "start_board"]

POLL_S = 0.5
SIGTERM_REASON = "SIGTERM: a checkpoint was asked for; the same command goes on from it"

Watch = Callable[[Any, int, float], AbstractContextManager[Callable[[], str | None]]]
"""``watch(board, num_steps, grace_s)``: looks at the board while the block runs, and tells it to end where that is
wished; yields why the training shall end, None while it shall not."""


@dataclass(frozen=True)
class Place:
    """Where a rank runs."""

    node: str
    """Ray's id of the node."""
    address: str


@dataclass
class BoardState:
    """What the board shows."""

    steps_done: int = 0
    note: str = ""
    resumed_from: list[int] = field(default_factory=list)
    """For every attempt, the steps done when it began: 0 for the first."""
    notes: list[str] = field(default_factory=list)
    """What ranks found worth saying, each once."""
    places: dict[int, Place] = field(default_factory=dict)
    """Of the ranks of this attempt that have begun."""
    pause: str | None = None
    """Why this attempt shall end after its next step, for another one to go on."""
    ends: str | None = None
    """Why the training shall end after the next step; None: it shall not."""
    attempts: list[Attempt] = field(default_factory=list)
    """Those of this driver."""
    num_workers: int = 0
    """Of the group that is starting or runs; 0: there is none."""
    loss: float | None = None
    """The last that was logged."""
    failure: str | None = None
    """Why going on would fail again: a message for the user. Later attempts end at once."""


class Board:
    """The actor behind the handle."""

    def __init__(self) -> None:
        self._state = BoardState()

    def new_attempt(self, num_workers: int) -> None:
        """The driver is about to start a group of so many."""
        self._state.places, self._state.pause, self._state.num_workers = {}, None, num_workers
        self._state.attempts.append(Attempt(began_s=time.time()))

    def attempt_ended(self, reason: str) -> None:
        """The driver has seen why the group ended."""
        attempt = self._state.attempts[-1]
        attempt.seconds, attempt.ended = time.time() - attempt.began_s, reason

    def no_group(self) -> None:
        """The group has ended; where its workers were is still shown."""
        self._state.num_workers = 0

    def begin(self, rank: int, place: Place) -> str | None:
        """A worker says where it is and asks, before it starts, whether an earlier attempt failed for good."""
        self._state.places[rank] = place
        attempt = self._state.attempts[-1]
        attempt.workers = len(self._state.places)
        attempt.nodes = sorted({one.address for one in self._state.places.values()})
        return self._state.failure

    def started(self, steps_done: int) -> None:
        """World rank 0 begins to train after so many steps."""
        self._state.resumed_from.append(steps_done)
        self._state.steps_done = steps_done
        self._state.attempts[-1].first_step = self._state.attempts[-1].last_step = steps_done

    def advance(self, steps_done: int, note: str, loss: float | None) -> None:
        """World rank 0 has done so many steps; `loss` is their mean since the last call, None where there is none."""
        self._state.steps_done = self._state.attempts[-1].last_step = steps_done
        self._state.note = note
        self._state.loss = self._state.loss if loss is None else loss

    def note(self, text: str) -> None:
        """A rank has something to say that does not end the training."""
        if text not in self._state.notes:
            self._state.notes.append(text)

    def fail(self, message: str) -> None:
        """A rank met an error that a restart cannot cure."""
        self._state.failure = self._state.failure or message

    def end(self, reason: str) -> None:
        """The training shall end after its next step, with a checkpoint."""
        self._state.ends = self._state.ends or reason

    def interrupt(self, reason: str) -> None:
        """The group shall end after its next step, because of `reason`; another one goes on."""
        self._state.pause = self._state.pause or reason

    def stops(self) -> bool:
        """Whether the group shall end after its next step."""
        return self._state.ends is not None or self._state.pause is not None

    def read(self) -> BoardState:
        """What there is to show."""
        return self._state


class StopAsked:
    """Whether the group shall end, as a rank asks once a step: the answer of a moment ago, without waiting for one."""

    def __init__(self, board: Any) -> None:
        self._board = board
        self._answer: Any = board.stops.remote()

    def __call__(self) -> bool:
        ready, _ = ray.wait([self._answer], timeout=0)
        if not ready:
            return False
        stops: bool = ray.get(self._answer)
        self._answer = self._board.stops.remote()
        return stops


def start_board() -> Any:
    """A new board, on the driver's node, which is the one that may not die; returns its handle."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor: Any = ray.remote(Board)
    return actor.options(num_cpus=0, scheduling_strategy=here).remote()


@contextmanager
def follow(board: Any, num_steps: int, grace_s: float) -> Iterator[Callable[[], str | None]]:
    """Show the board as a progress bar while the block runs; yields why the training shall end: SIGTERM has come.

    SIGTERM asks the group to stop after a checkpoint; after `grace_s`, or a second SIGTERM, `Terminated` is raised.
    """
    ended = threading.Event()
    with progress("train steps", num_steps) as advance, first_sigterm(grace_s) as terminated:

        def watch() -> None:
            said, asked = 0, False
            last = False
            while not last:
                last = ended.wait(POLL_S)  # what was said in the end is shown too
                state: BoardState = ray.get(board.read.remote())
                for text in state.notes[said:]:
                    say(text)
                said = len(state.notes)
                if terminated() and not asked:
                    asked = True
                    board.end.remote(SIGTERM_REASON)
                    say(f"SIGTERM: ending after the next step, with a checkpoint, within {grace_s:g} s")
                restarts = len(state.resumed_from) - 1
                note = f"{state.note}, restarted {restarts}x" if restarts > 0 else state.note
                advance(state.steps_done, note)

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield lambda: SIGTERM_REASON if terminated() else None
        finally:
            ended.set()
            watcher.join()
