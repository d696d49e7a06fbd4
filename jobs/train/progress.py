"""A running training for the person at the terminal, who may end it: a progress bar, notes, and Ctrl-C or SIGTERM."""

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import ray

from data_pipeline.watcher import watching
from jobs.runtime.terminal import Advance, progress, say
from jobs.runtime.termination import first_stop_signal, reason_to_stop, shown
from jobs.train.coordinator import GroupState

__all__ = ["Watch", "follow"]

POLL_S = 0.5

Watch = Callable[[Any, int, float], AbstractContextManager[Callable[[], str | None]]]
"""``watch(coordinator, num_steps, grace_s)``: follows the coordinator while the block runs, and asks it to stop
where that is wished; yields why the training shall stop, None while it shall not."""


@contextmanager
def follow(coordinator: Any, num_steps: int, grace_s: float) -> Iterator[Callable[[], str | None]]:
    """Show the group as a progress bar while the block runs; yields why the training shall stop: a signal has come.

    The first asks the group to stop after a checkpoint; the second, or the end of `grace_s`, raises.
    """
    with progress("train steps", num_steps) as advance, first_stop_signal(grace_s) as asked:
        view = _ProgressView(coordinator, advance, asked, grace_s)
        with watching(view.update, every_s=POLL_S, name="progress", at_end=True):
            yield lambda: None if (came := asked()) is None else reason_to_stop(came)


class _ProgressView:
    """The bar and the lines of `follow`, and what they have shown so far."""

    def __init__(
        self, coordinator: Any, advance: Advance, asked: Callable[[], signal.Signals | None], grace_s: float
    ) -> None:
        self._coordinator = coordinator
        self._advance = advance
        self._asked = asked
        self._grace_s = grace_s
        self._num_notes = 0
        self._asked_to_stop = False

    def update(self) -> None:
        """Show what is new, and ask the group to stop where a signal has come."""
        state: GroupState = ray.get(self._coordinator.read.remote())
        for text in state.notes[self._num_notes :]:
            say(text)
        self._num_notes = len(state.notes)
        if (came := self._asked()) is not None and not self._asked_to_stop:
            self._asked_to_stop = True
            self._coordinator.stop.remote(reason_to_stop(came))
            say(
                f"{shown(came)}: ending after the next step, with a checkpoint, within {self._grace_s:g} s; "
                "once more ends it at once"
            )
        restarts = len(state.resumed_from) - 1
        note = ", ".join(part for part in (state.note, state.evaluated) if part)
        note = f"{note}, restarted {restarts}x" if restarts > 0 else note
        self._advance(state.steps_done, note)
