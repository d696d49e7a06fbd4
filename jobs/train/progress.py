"""A running training for the person at the terminal, who may end it: a progress bar, notes, and SIGTERM."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import ray

from jobs.runtime.terminal import Advance, progress, say
from jobs.runtime.termination import SIGTERM_REASON, first_sigterm
from jobs.runtime.watcher import watching
from jobs.train.coordinator import GroupState

__all__ = ["Watch", "follow"]

POLL_S = 0.5

Watch = Callable[[Any, int, float], AbstractContextManager[Callable[[], str | None]]]
"""``watch(coordinator, num_steps, grace_s)``: follows the coordinator while the block runs, and asks it to stop
where that is wished; yields why the training shall stop, None while it shall not."""


@contextmanager
def follow(coordinator: Any, num_steps: int, grace_s: float) -> Iterator[Callable[[], str | None]]:
    """Show the group as a progress bar while the block runs; yields why the training shall stop: SIGTERM has come.

    SIGTERM asks the group to stop after a checkpoint; after `grace_s`, or a second SIGTERM, `Terminated` is raised.
    """
    with progress("train steps", num_steps) as advance, first_sigterm(grace_s) as terminated:
        view = _ProgressView(coordinator, advance, terminated, grace_s)
        with watching(view.update, every_s=POLL_S, name="progress", at_end=True):
            yield lambda: SIGTERM_REASON if terminated() else None


class _ProgressView:
    """The bar and the lines of `follow`, and what they have shown so far."""

    def __init__(self, coordinator: Any, advance: Advance, terminated: Callable[[], bool], grace_s: float) -> None:
        self._coordinator = coordinator
        self._advance = advance
        self._terminated = terminated
        self._grace_s = grace_s
        self._num_notes = 0
        self._asked_to_stop = False

    def update(self) -> None:
        """Show what is new, and ask the group to stop where SIGTERM has come."""
        state: GroupState = ray.get(self._coordinator.read.remote())
        for text in state.notes[self._num_notes :]:
            say(text)
        self._num_notes = len(state.notes)
        if self._terminated() and not self._asked_to_stop:
            self._asked_to_stop = True
            self._coordinator.stop.remote(SIGTERM_REASON)
            say(f"SIGTERM: ending after the next step, with a checkpoint, within {self._grace_s:g} s")
        restarts = len(state.resumed_from) - 1
        note = f"{state.note}, restarted {restarts}x" if restarts > 0 else state.note
        self._advance(state.steps_done, note)
