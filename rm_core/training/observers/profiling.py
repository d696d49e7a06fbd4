"""PyTorch's profiler on chosen steps of chosen ranks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.profiler import ProfilerActivity, profile

from rm_core.training.health_config import ProfileConfig

__all__ = ["Profiler"]


class Profiler:
    """Traces steps and hands each trace out as a file.

    Args:
        rank: this one.
        artifact: gets the path of a trace, which is removed after the call, and the folder it belongs to.
    """

    def __init__(self, config: ProfileConfig, rank: int, artifact: Callable[[str, str], None]) -> None:
        self._steps = frozenset(config.steps) if rank in config.ranks else frozenset[int]()
        self._rank = rank
        self._artifact = artifact

    @contextmanager
    def step(self, number: int) -> Iterator[None]:
        """Around step `number`, counted from 1: a trace for Perfetto or chrome://tracing, if it is chosen."""
        if number not in self._steps:
            yield
            return
        activities = [ProfilerActivity.CPU] + ([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])
        with profile(activities=activities, record_shapes=True) as traced:
            yield
        with tempfile.TemporaryDirectory(prefix="basereward-trace-") as folder:
            path = os.path.join(folder, f"step-{number:08d}-rank-{self._rank:05d}.json.gz")
            traced.export_chrome_trace(path)
            self._artifact(path, "traces")
