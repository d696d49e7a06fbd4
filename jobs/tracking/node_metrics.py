"""How busy a node is: processors, memory, disks, network and GPUs, on their way to MLflow while a training runs.

    local rank 0 of each node: thread, every interval_s -> ``system/node_ADDRESS/...`` -> MetricLogger

MLflow shows what begins with ``system/`` on a page of its own, over time, in one section a node. The step of a point is
the whole seconds since the run began, so that no restart repeats one.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil
import pynvml

from data_pipeline.watcher import watching
from jobs.tracking.metric_logger import MetricLogger

__all__ = ["NodeMeter", "node_section", "sampled"]

_RATES = ("disk_read", "disk_written", "network_received", "network_sent")


@dataclass(frozen=True, kw_only=True)
class _Counters:
    """Bytes since the machine started, and when they were read."""

    at_s: float
    bytes: tuple[int, ...]


class NodeMeter:
    """Reads this machine.

    Args:
        folder: names the disk whose room is shown; one that is not local shows that of the working folder.
    """

    def __init__(self, folder: str = ".") -> None:
        self._folder = folder if os.path.isdir(folder) else "."
        self._gpus = _gpus()
        self._before = _counters()

    def read(self) -> dict[str, float]:
        """Metrics by their short names. Percents are of the whole machine or GPU, rates since the last call.

        ``cpu_percent``, ``memory_percent``, ``memory_used_gb``, ``disk_percent``, ``disk_read_mb_per_s``,
        ``disk_written_mb_per_s``, ``network_received_mb_per_s``, ``network_sent_mb_per_s``; for each GPU
        ``gpu_0_percent``, ``gpu_0_memory_percent``, ``gpu_0_memory_used_gb``, ``gpu_0_watts``, ``gpu_0_celsius``, those
        that it tells.
        """
        memory = psutil.virtual_memory()
        used = memory.total - memory.available
        found = {
            "cpu_percent": psutil.cpu_percent(),
            "memory_percent": 100 * used / memory.total,
            "memory_used_gb": used / 1e9,
            "disk_percent": psutil.disk_usage(self._folder).percent,
        }
        return found | self._rates() | _read_gpus(self._gpus)

    def _rates(self) -> dict[str, float]:
        before, now = self._before, _counters()
        seconds = max(now.at_s - before.at_s, 1e-3)
        self._before = now
        moved = [max(0, new - old) for new, old in zip(now.bytes, before.bytes, strict=True)]
        return {f"{name}_mb_per_s": amount / 1e6 / seconds for name, amount in zip(_RATES, moved, strict=True)}


def node_section(address: str) -> str:
    """The group of a node's metrics.

    >>> node_section("10.0.0.7"), node_section("fd00::7")
    ('system/node_10.0.0.7', 'system/node_fd00--7')
    """
    return f"system/node_{address.replace(':', '-')}"


@contextmanager
def sampled(
    logger: MetricLogger, meter: NodeMeter, section: str, *, began_s: float, interval_s: float
) -> Iterator[None]:
    """In the block, log this node every `interval_s` seconds, from a thread of its own; 0: not at all.

    Args:
        section: as `node_section` gives it.
        began_s: when the run began, in seconds since 1970.
    """
    if interval_s <= 0:
        yield
        return

    def sample() -> None:
        logger.log(max(0, int(time.time() - began_s)), _named(section, meter.read()))

    # psutil counts a thread's processor time from that thread's own call before: `begin` is the first.
    with watching(sample, every_s=interval_s, name="system metrics", begin=meter.read):
        yield


def _named(section: str, values: Mapping[str, float]) -> dict[str, float]:
    return {f"{section}/{name}": round(value, 3) for name, value in values.items()}


def _counters() -> _Counters:
    disk, network = psutil.disk_io_counters(), psutil.net_io_counters()
    read, written = (disk.read_bytes, disk.write_bytes) if disk is not None else (0, 0)  # a container may hide both
    received, sent = (network.bytes_recv, network.bytes_sent) if network is not None else (0, 0)
    return _Counters(at_s=time.monotonic(), bytes=(read, written, received, sent))


def _gpus() -> list[Any]:
    """Handles of this machine's NVIDIA GPUs; none where there is no driver."""
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    return [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]


def _read_gpus(gpus: list[Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for index, gpu in enumerate(gpus):
        for name, read in _GPU_READINGS.items():
            try:
                found[f"gpu_{index}_{name}"] = read(gpu)
            except pynvml.NVMLError:  # a share of a GPU (MIG), or a virtual one, tells less
                continue
    return found


_GPU_READINGS: dict[str, Callable[[Any], float]] = {
    "percent": lambda gpu: float(pynvml.nvmlDeviceGetUtilizationRates(gpu).gpu),
    "memory_percent": lambda gpu: 100 * _memory(gpu).used / _memory(gpu).total,
    "memory_used_gb": lambda gpu: _memory(gpu).used / 1e9,
    "watts": lambda gpu: pynvml.nvmlDeviceGetPowerUsage(gpu) / 1000,
    "celsius": lambda gpu: float(pynvml.nvmlDeviceGetTemperature(gpu, pynvml.NVML_TEMPERATURE_GPU)),
}


def _memory(gpu: Any) -> Any:
    return pynvml.nvmlDeviceGetMemoryInfo(gpu)
