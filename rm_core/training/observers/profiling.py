"""PyTorch's profiler on chosen steps of chosen ranks."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch.profiler import ProfilerActivity, profile

from data_pipeline.errors import RecipeError
from rm_core.train_config.config import ProfileConfig

__all__ = ["Profiler"]


class Profiler:
    """Traces steps and hands each trace out as a file.

    Args:
        rank: this one.
        num_steps: of the whole training.
        artifact: gets the path of a trace, which is removed after the call, and the folder it belongs to.

    Raises:
        RecipeError: a step is chosen that the training does not have.
    """

    def __init__(self, config: ProfileConfig, rank: int, num_steps: int, artifact: Callable[[str, str], None]) -> None:
        if max(config.steps, default=0) > num_steps:
            raise RecipeError(f"train.profile.steps={config.steps}: the training has {num_steps} steps")
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
