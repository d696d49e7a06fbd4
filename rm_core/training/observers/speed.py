"""How fast the group is, where its time goes, and which rank holds it up."""

import statistics
from dataclasses import dataclass

import torch
import torch.distributed as dist

from rm_core.model.flops import peak_flops
from rm_core.training.observers.clock import PARTS, PhaseClock

__all__ = ["Speed", "Waited"]

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
