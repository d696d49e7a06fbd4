"""The most memory that a rank has needed."""

import resource

import torch
import torch.distributed as dist

__all__ = ["peak_memory_gb"]


def peak_memory_gb(device: torch.device) -> float:
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
