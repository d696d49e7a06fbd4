"""Seconds of each phase of a step, how fast the group is, and which rank holds it up."""

import statistics
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from rm_core.model.flops import peak_flops
from rm_core.training.watchdog import Phase, Watchdog

__all__ = ["PARTS", "PhaseClock", "Phases", "Speed", "Waited"]


_PART_OF = {
    "loading": "data",
    "step mean": "forward",
    "forward": "forward",
    "backward": "backward",
    "waiting": "wait",
    "optimiser step": "optimiser",
    "evaluation": "evaluation",
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


_BACKWARD = 3  # forward passes that a step costs: the backward pass takes two


@dataclass(frozen=True, slots=True)
class Waited:
    """The rank that waited longest for its rows, and for what share of the window."""

    rank: int
    share: float


class Speed:
    """Metrics of a window from the clocks of all ranks.

    Args:
        device: of this rank; its peak is known for GPUs only.
        dtype: of the products.
    """

    def __init__(self, clock: PhaseClock, device: torch.device, dtype: torch.dtype) -> None:
        self._clock = clock
        self._device = device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
        self._peak = peak_flops(name, dtype) if name else None
        self._flops = 0.0
        self._steps = 0

    def add(self, forward_flops: float) -> None:
        """One more step, which needed so many FLOPs for its forward passes on all ranks."""
        self._flops += _BACKWARD * forward_flops
        self._steps += 1

    def metrics(self) -> tuple[dict[str, float], Waited]:
        """Of the window, and a new window; a collective call.

        `wall/NAME_s` is the mean over ranks of a step's seconds. TFLOP/s and MFU are of one rank, and count what a
        model needs whose weights all train, not what is recomputed.
        """
        ranks = self._gather(self._clock.take())
        steps = max(1, self._steps)
        found = {f"wall/{part}_s": statistics.fmean(rank[part] for rank in ranks) / steps for part in PARTS}
        compute = [(rank["forward"] + rank["backward"]) / steps for rank in ranks]
        found |= {
            "wall/compute_median_s": statistics.median(compute),
            "wall/compute_slowest_s": max(compute),
            "system/slowest_rank": float(compute.index(max(compute))),
        }
        seconds = max(sum(rank.values()) for rank in ranks)
        rate = self._flops / seconds / len(ranks)
        found["system/tflops_per_worker"] = rate / 1e12
        if self._peak is not None:
            found["system/mfu"] = rate / self._peak
        waits = [rank["data"] for rank in ranks]
        self._flops, self._steps = 0.0, 0
        return found, Waited(waits.index(max(waits)), max(waits) / seconds)

    def _gather(self, own: dict[str, float]) -> list[dict[str, float]]:
        own_seconds = torch.tensor([own[part] for part in PARTS], dtype=torch.float64, device=self._device)
        ranks = [torch.empty_like(own_seconds) for _ in range(dist.get_world_size())]
        dist.all_gather(ranks, own_seconds)
        return [dict(zip(PARTS, rank.tolist(), strict=True)) for rank in ranks]
