"""How far the group is: a small Ray actor that world rank 0 writes and the driver's progress bar reads."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import ray

from jobs.terminal import progress

__all__ = ["BoardState", "follow", "start_board"]

POLL_S = 0.5


@dataclass
class BoardState:
    """What the board shows."""

    steps_done: int = 0
    note: str = ""
    resumed_from: list[int] = field(default_factory=list)
    """For every attempt, the steps done when it began: 0 for the first."""
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

    def fail(self, message: str) -> None:
        """A rank met an error that a restart cannot cure."""
        self._state.failure = self._state.failure or message

    def read(self) -> BoardState:
        """What there is to show."""
        return self._state


def start_board() -> Any:
    """A new board on the cluster; returns its handle."""
    return ray.remote(num_cpus=0)(Board).remote()


@contextmanager
def follow(board: Any, num_steps: int) -> Iterator[None]:
    """Show the board as a progress bar while the block runs."""
    ended = threading.Event()
    with progress("train steps", num_steps) as advance:

        def watch() -> None:
            while not ended.wait(POLL_S):
                state: BoardState = ray.get(board.read.remote())
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
