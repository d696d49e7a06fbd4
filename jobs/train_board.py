"""How far the group is: a small Ray actor that world rank 0 writes and the driver's progress bar reads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray

from jobs.terminal import progress, say
from jobs.termination import first_sigterm

__all__ = ["BoardState", "follow", "start_board"]

POLL_S = 0.5


@dataclass
class BoardState:
    """What the board shows."""

    steps_done: int = 0
    note: str = ""
    resumed_from: list[int] = field(default_factory=list)
    """For every attempt, the steps done when it began: 0 for the first."""
    notes: list[str] = field(default_factory=list)
    """What ranks found worth saying, each once."""
    stops: bool = False
    """The group has been asked to end after its next step."""
    failure: str | None = None
    """Why going on would fail again: a message for the user. Later attempts end at once."""


class Board:
    """The actor behind the handle."""

    def __init__(self) -> None:
        self._state = BoardState()

    def begin(self) -> str | None:
        """A worker asks, before it starts, whether an earlier attempt failed for good."""
        return self._state.failure

    def started(self, steps_done: int) -> None:
        """World rank 0 begins to train after so many steps."""
        self._state.resumed_from.append(steps_done)
        self._state.steps_done = steps_done

    def advance(self, steps_done: int, note: str) -> None:
        """World rank 0 has done so many steps."""
        self._state.steps_done = steps_done
        self._state.note = note

    def note(self, text: str) -> None:
        """A rank has something to say that does not end the training."""
        if text not in self._state.notes:
            self._state.notes.append(text)

    def fail(self, message: str) -> None:
        """A rank met an error that a restart cannot cure."""
        self._state.failure = self._state.failure or message

    def stop(self) -> None:
        """The group shall end after its next step, with a checkpoint."""
        self._state.stops = True

    def stops(self) -> bool:
        """Whether it shall."""
        return self._state.stops

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
    """A new board on the cluster; returns its handle."""
    return ray.remote(num_cpus=0)(Board).remote()


@contextmanager
def follow(board: Any, num_steps: int, grace_s: float) -> Iterator[None]:
    """Show the board as a progress bar while the block runs.

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
                    board.stop.remote()
                    say(f"SIGTERM: ending after the next step, with a checkpoint, within {grace_s:g} s")
                restarts = len(state.resumed_from) - 1
                note = f"{state.note}, restarted {restarts}x" if restarts > 0 else state.note
                advance(state.steps_done, note)

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join()
