"""Sizes over numbers of GPUs: for each the fastest setting that fits."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from rm_core.planner.architecture import Architecture
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import Gpu
from rm_core.planner.memory import largest_token_budget, memory_of
from rm_core.planner.propose import SMALLEST_ROW
from rm_core.planner.roofline import Time, time_of
from rm_core.planner.setting import Setting
from rm_core.planner.workload import Workload

__all__ = ["GPU_COUNTS", "Cell", "best_setting", "num_steps"]

GPU_COUNTS = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Cell:
    """The fastest setting of one size on so many GPUs."""

    setting: Setting
    time: Time

    @property
    def words(self) -> str:
        """``ZeRO-2, full, 8,192 tokens``."""
        offload = " offload" * self.setting.offload_optimizer
        return f"ZeRO-{self.setting.stage}{offload}, {self.setting.recompute}, {self.setting.token_budget:,} tokens"


def num_steps(setting: Setting, comparisons: float, *, epochs: float = 1.0) -> int:
    """Optimiser steps of so many passes."""
    return max(1, math.ceil(epochs * comparisons / setting.global_batch))


def best_setting(
    arch: Architecture, setting: Setting, workload: Workload, gpu: Gpu, config: PlanConfig, *, epochs: float = 1.0
) -> Cell | None:
    """Of stages 2 and 3, with and without offload, and all kinds of recomputation the fastest that fits.

    The row is `setting`'s, or the largest that fits where that is smaller. None: nothing fits.
    """
    steps = num_steps(setting, workload.comparisons, epochs=epochs)
    cells = [
        Cell(one, time_of(arch, one, workload, gpu, config, steps=steps))
        for one in _candidates(arch, setting, gpu, max(SMALLEST_ROW.tokens, workload.largest_tokens))
    ]
    return min(cells, key=lambda cell: cell.time.step_s, default=None)


def _candidates(arch: Architecture, setting: Setting, gpu: Gpu, smallest: int) -> Iterator[Setting]:
    stages: Sequence[tuple[int, bool]] = ((2, False), (3, False), (2, True), (3, True))
    for stage, offload in stages:
        for recompute in ("none", "selective", "full"):
            one = replace(
                setting, stage=stage, offload_optimizer=offload, offload_parameters=False, recompute=recompute
            )
            if not memory_of(arch, one).fits(gpu):
                tokens = largest_token_budget(arch, one, gpu)
                one = replace(one, token_budget=min(tokens, one.token_budget))
            if one.token_budget >= smallest:
                yield one
