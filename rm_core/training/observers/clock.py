"""Seconds of each phase of a step on one rank."""

import time
from collections import defaultdict
from collections.abc import Sequence

import torch

from rm_core.training.watchdog import Phase, Watchdog

__all__ = ["PARTS", "PhaseClock", "Phases"]

_PART_OF = {
    "loading": "data",
    "step mean": "forward",
    "forward": "forward",
    "backward": "backward",
    "waiting": "wait",
    "optimiser step": "optimiser",
    "checkpoint": "checkpoint",
}
PARTS = (*dict.fromkeys(_PART_OF.values()), "other")
"""What a step's seconds are split into: `data` waits for rows, `wait` for the slowest rank at the end of the step.
Collectives of ZeRO run inside forward, backward and optimiser, and are part of them."""


class PhaseClock:
    """Adds up seconds by part.

    On a GPU the clock is the GPU's own: an event is put into its stream at each change, and all are read once a window,
    so that no step waits for a reading. Seconds of `data` are then those in which the GPU had nothing to do.
    """

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._seconds: dict[str, float] = defaultdict(float)
        self._events: list[tuple[str, torch.cuda.Event]] = []
        self._part = "other"
        self._since_s = time.perf_counter()

    def enter(self, phase: str) -> None:
        """A phase of the watchdog's, or `waiting`, begins."""
        part = _PART_OF.get(phase, "other")
        if self._on_gpu:
            event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
            event.record()
            self._events.append((part, event))
            return
        now_s = time.perf_counter()
        self._seconds[self._part] += now_s - self._since_s
        self._part, self._since_s = part, now_s

    def take(self) -> dict[str, float]:
        """Seconds of every one of `PARTS` since the last call."""
        self.enter("metrics")
        if self._on_gpu and self._events:
            self._events[-1][1].synchronize()
            for (part, begin), (_, end) in zip(self._events, self._events[1:], strict=False):
                self._seconds[part] += begin.elapsed_time(end) / 1000
            self._events = self._events[-1:]
        taken = {part: self._seconds[part] for part in PARTS}
        self._seconds.clear()
        return taken


class Phases:
    """Tells watchdog and clock at once where the training thread is."""

    def __init__(self, watchdog: Watchdog, clock: PhaseClock) -> None:
        self._watchdog = watchdog
        self._clock = clock

    def enter(
        self, phase: Phase, *, step: int | None = None, row: int | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """As `Watchdog.enter`."""
        self._clock.enter(phase)
        self._watchdog.enter(phase, step=step, row=row, ids=ids)

    def wait(self) -> None:
        """What follows waits for the slowest rank."""
        self._clock.enter("waiting")
