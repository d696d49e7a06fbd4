"""GPUs by name: what a plan assumes of each. Numbers of data sheets and list prices; nothing here was measured by us.

Dense bf16 FLOP/s come from `rm_core.model.flops.peak_flops`, so that the planner and the metrics of a training divide
by the same number.
"""

from dataclasses import dataclass, replace

import torch

from data_pipeline.errors import RecipeError
from rm_core.model.flops import peak_flops

__all__ = ["GPUS", "Gpu", "gpu_of", "gpu_of_device"]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One kind of GPU, in the machine that clouds rent it in.

    Attributes:
        name: of the catalogue: ``h100-80gb``.
        device: as CUDA calls it, which `peak_flops` reads.
        memory_gb: what a process may fill, in 10^9 bytes.
        hbm_gb_s: of its memory, 10^9 bytes a second.
        link_gb_s: to the GPUs of its own node, in one direction; PCIe where there is no NVLink.
        network_gb_s: of a whole node to other nodes, in one direction (AWS's EFA).
        host_gb: memory of the node for each of its GPUs.
        price: dollars an hour for one GPU: on-demand list prices of whole AWS machines in 2025, rounded.
        margin: share of `memory_gb` that a plan leaves free.
        launch_us: microseconds in which the host launches a kernel from PyTorch. On one machine with an H200, rows of
            8,200 kernels took 209 ms of the host, whatever they held; of others an assumption.
    """

    name: str
    device: str
    memory_gb: float
    hbm_gb_s: float
    link_gb_s: float
    network_gb_s: float
    host_gb: float
    price: float
    margin: float = 0.0
    launch_us: float = 25.0

    @property
    def usable_gb(self) -> float:
        """What a plan may fill."""
        return self.memory_gb * (1 - self.margin)

    @property
    def peak(self) -> float:
        """Dense bf16 FLOP/s."""
        peak = peak_flops(self.device, torch.bfloat16)
        assert peak is not None, f"no peak is known of {self.device!r}"
        return peak


GPUS = {
    gpu.name: gpu
    for gpu in (
        Gpu(name="l40s-48gb", device="NVIDIA L40S", memory_gb=47, hbm_gb_s=864, link_gb_s=32, network_gb_s=50,
            host_gb=192, price=3.8),
        Gpu(name="a100-40gb", device="NVIDIA A100-SXM4-40GB", memory_gb=42, hbm_gb_s=1555, link_gb_s=300,
            network_gb_s=50, host_gb=144, price=2.8),
        Gpu(name="a100-80gb", device="NVIDIA A100-SXM4-80GB", memory_gb=84, hbm_gb_s=2039, link_gb_s=300,
            network_gb_s=50, host_gb=144, price=3.4),
        Gpu(name="h100-80gb", device="NVIDIA H100 80GB HBM3", memory_gb=84, hbm_gb_s=3350, link_gb_s=450,
            network_gb_s=400, host_gb=256, price=6.9),
        Gpu(name="h200-141gb", device="NVIDIA H200", memory_gb=149, hbm_gb_s=4800, link_gb_s=450, network_gb_s=400,
            host_gb=256, price=7.9),
        Gpu(name="b200-192gb", device="NVIDIA B200", memory_gb=191, hbm_gb_s=7700, link_gb_s=900, network_gb_s=400,
            host_gb=256, price=14.2),
    )
}  # fmt: skip


def gpu_of(name: str, *, margin: float = 0.0) -> Gpu:
    """The GPU called `name`.

    Args:
        margin: share of its memory that a plan leaves free (`plan.memory_margin`).

    Raises:
        RecipeError: not in the catalogue.
    """
    if name not in GPUS:
        raise RecipeError(f"plan.gpu={name!r} is not in the catalogue; choose one of {', '.join(GPUS)}")
    return replace(GPUS[name], margin=margin)


def gpu_of_device(device: str, *, memory_bytes: int, host_bytes: int) -> Gpu:
    """A GPU that is there, for `rm_core.planner.propose.check_fits`: its own memory, whatever the catalogue says.

    It has no margin: what may just fit is not refused once the GPUs are taken.

    Args:
        device: its name in CUDA, for messages.
        memory_bytes: of the GPU.
        host_bytes: of the machine, for each of its GPUs.
    """
    return Gpu(
        name=device, device=device, memory_gb=memory_bytes / 1e9, host_gb=host_bytes / 1e9,
        hbm_gb_s=0, link_gb_s=0, network_gb_s=0, price=0,
    )  # fmt: skip
