"""What is logged: the means over the steps since the last point."""

import math
import resource
import time
from collections.abc import Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from rm_core.training.accumulation import StepSums

__all__ = ["Window"]

_WORK = ("comparisons", "tokens", "patches", "distinct_patches", "done_tokens", "done_patches", "ids_hash")


class Window:
    """Sums of the steps since the last point.

    Args:
        names: of the sums, as `Accumulator.names`.
    """

    def __init__(self, names: tuple[str, ...], device: torch.device) -> None:
        self._names = names
        self._device = device
        self.sums = torch.zeros(len(names) + 1, dtype=torch.float64)  # the last one: steps left out
        self._restored = torch.zeros_like(self.sums)  # work that was not done since the clock runs
        self.start()

    def start(self) -> None:
        """The clock runs from here."""
        self._start_s = time.perf_counter()

    def add(self, sums: StepSums, *, skipped: bool = False) -> None:
        """One more step; of one that was left out only the work that was done counts."""
        values = torch.cat([sums.values, torch.tensor([float(skipped)], dtype=torch.float64)])
        if skipped:
            kept = torch.tensor([name in _WORK for name in self._names] + [True])
            values = torch.where(kept, values, 0.0)
        self.sums += values

    def restore(self, sums: Tensor) -> None:
        """Go on with the sums that a checkpoint kept, of steps that an earlier attempt did."""
        self.sums, self._restored = sums, sums.clone()

    def loss(self) -> float:
        """The mean loss of the window, and a new window."""
        total = dict(zip((*self._names, "skipped"), self.sums.tolist(), strict=True))
        self._clear()
        return _losses(total).get("train/loss", math.inf)

    def metrics(self) -> dict[str, float]:
        """Means of the window, and a new window; a collective call, for the largest memory of all ranks."""
        total = dict(zip((*self._names, "skipped"), self.sums.tolist(), strict=True))
        done = dict(zip((*self._names, "skipped"), (self.sums - self._restored).tolist(), strict=True))
        seconds = time.perf_counter() - self._start_s
        found = _losses(total) | _rewards(total)
        found |= {
            "system/comparisons_per_s": done["comparisons"] / seconds,
            "system/tokens_per_s": done["tokens"] / seconds,
            "system/patches_per_s": done["done_patches"] / seconds,
            "system/peak_memory_gb": _peak_memory_gb(self._device),
            "health/skipped_steps": total["skipped"],
            "verify/ids_hash": total["ids_hash"],
        }
        self._clear()
        self.start()
        return found

    def _clear(self) -> None:
        self.sums.zero_()
        self._restored.zero_()


def _losses(total: Mapping[str, float]) -> dict[str, float]:
    """The loss, and each of its terms where there are several."""
    if not total["responses"]:  # all steps were left out
        return {}
    names = [name.removeprefix("loss_") for name in total if name.startswith("loss_")]
    terms = {name: total[f"loss_{name}"] / max(1.0, total[f"count_{name}"]) for name in names}  # 0 / 0 where all tie
    parts = {f"train/loss_{name}": value for name, value in terms.items()} if len(terms) > 1 else {}
    return {"train/loss": sum(terms.values())} | parts


def _rewards(total: Mapping[str, float]) -> dict[str, float]:
    if not total["responses"]:
        return {}
    mean = total["reward"] / total["responses"]
    variance = max(0.0, total["reward_squared"] / total["responses"] - mean**2)
    pairs = total["pairs"]
    judged = {"train/accuracy": total["correct"] / pairs, "train/margin": total["margin"] / pairs} if pairs else {}
    return judged | {"train/reward_mean": mean, "train/reward_std": math.sqrt(variance)}


def _peak_memory_gb(device: torch.device) -> float:
    """Gigabytes (10^9 bytes) of the rank that needed most; a collective call.

    On a GPU what its allocator held at most, since the last call; on the CPU what the process held at most, ever.
    """
    if device.type == "cuda":
        peak = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    else:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # Linux counts in kibibytes
    largest = torch.tensor(float(peak), dtype=torch.float64, device=device)
    dist.all_reduce(largest, op=dist.ReduceOp.MAX)
    return float(largest) / 1e9
