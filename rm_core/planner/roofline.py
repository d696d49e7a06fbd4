"""Seconds of an optimiser step: what must be computed, sent and updated, at stated shares of what hardware can do.

    compute   FLOPs of a rank's Comparisons x straggler factor x (3 + share recomputed) / (peak x efficiency), and not
              less than reading the weights for every row takes, or launching its kernels
    send      bytes of the engine's collectives / (slowest link x efficiency), as far as computing does not hide them:
              `sending`
    update    30 bytes of GPU memory a weight of the rank's shard; with offload the CPU's Adam, and PCIe

Ranks run their rows in turns, and each turn ends with the costliest row: the straggler factor is the time of a step
over that with equal rows. It comes from the schedules of the first steps where the data are prepared; else from one
number, how much the longest Comparison of a step costs.
Legend: N ranks.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rm_core.packing.plan import PackBudget, Plan
from rm_core.planner.architecture import Architecture
from rm_core.planner.around import Around, around_of
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import Gpu
from rm_core.planner.launches import launches_of_row
from rm_core.planner.sending import evaluation_sending_s, sending_of
from rm_core.planner.setting import Setting
from rm_core.planner.workload import Workload

__all__ = ["FILL", "LONGEST", "Schedule", "Time", "rows_of_step", "schedule_of", "time_of"]

FILL = 0.9
"""Share of a row's budget that whole Comparisons fill. An assumption."""
LONGEST = 2.88
"""Cost of a step's longest Comparison over the mean, where lengths are not known: that of 128 Comparisons in the plan
that `benchmarks.plan` measures, where 64 ranks wait for it by a factor of 1.44 and 8 hardly (1.004)."""
_PLANNED_STEPS = 4
"""Steps of known data whose schedules are made."""
_RECOMPUTED = {"none": 0.0, "selective": 0.0, "full": 1.0}
"""Forward passes' worth of matrix products and attention that run once more: `selective` keeps their outputs."""
_HBM_SHARE = 0.8
"""Of the memory's bytes a second, what streaming kernels reach. An assumption."""
_PCIE_GB_S = 25.0
"""Between a GPU and CPU memory, one direction. An assumption."""
_CPU_ADAM = 1e9
"""Weights a second that a GPU's share of its node's cores updates: 12 cores of 95 million each, which is what one core
of the machine that builds this reached in PyTorch's AdamW. An assumption."""
_UPDATED = 30
"""Bytes of GPU memory: weight, moments and gradient read (16), weight and moments written (12), bf16 weight (2)."""


@dataclass(frozen=True, kw_only=True)
class Time:
    """Seconds of one step, and what they amount to.

    Attributes:
        rows: rows that a rank computes one behind the other.
        straggler: what waiting for the costliest row of each turn multiplies computing by.
        compute_s, send_s, update_s: parts of the step; of sending, what is waited for.
        hidden_s: of sending beside computing.
        tokens_s: tokens of all GPUs in a second.
        mfu: model FLOPs utilisation: needed FLOPs of the step / what the GPUs could do in its time.
        steps: of the whole training.
        evaluations: on the held-out split, while it trains.
        evaluation_s: of one of them, or of the one after the training; 0: not known.
        around: start, checkpoints and export.
        hours: of the whole training with these; benchmarks are not included.
        cost: dollars for `hours`.
    """

    rows: int
    straggler: float
    compute_s: float
    send_s: float
    update_s: float
    hidden_s: float
    tokens_s: float
    mfu: float
    steps: int
    evaluations: int
    evaluation_s: float
    around: Around
    hours: float
    cost: float

    @property
    def step_s(self) -> float:
        return self.compute_s + self.send_s + self.update_s


def rows_of_step(setting: Setting, workload: Workload) -> int:
    """Rows of a rank in a step; at least one, since ZeRO's calls join all ranks.

    128 Comparisons of 1,400 tokens on 8 GPUs: 5 go into 90 % of 8,192 tokens, so 4 rows a GPU.
    """
    a_row = FILL * setting.token_budget / workload.tokens
    if workload.patches:
        a_row = min(a_row, FILL * setting.patch_budget / workload.patches)
    return max(1, math.ceil(setting.global_batch / (setting.gpus * max(1, int(a_row)))))


class Schedule(NamedTuple):
    """How a step is spread over the ranks, in the mean.

    Attributes:
        rows: of a rank.
        straggler: time of the step's computing over that of equal rows.
    """

    rows: int
    straggler: float


def schedule_of(setting: Setting, workload: Workload) -> Schedule:
    """As the training will plan it where the data are prepared, else by the longest Comparison.

    128 Comparisons on 64 GPUs are 2 for each, and one of them may cost 2.88: 1.44 times the mean.

    Raises:
        RecipeError: a Comparison of the data alone exceeds a budget.
    """
    if workload.table is None:
        return Schedule(rows_of_step(setting, workload), max(1.0, LONGEST * setting.gpus / setting.global_batch))
    budget = PackBudget(tokens=setting.token_budget, patches=setting.patch_budget)
    plan = Plan(
        workload.table, seed=0, global_batch=setting.global_batch, num_steps=_PLANNED_STEPS, budget=budget,
        unit=workload.unit,
    )  # fmt: skip
    costs = [_costs(plan, index, setting.gpus) for index in range(_PLANNED_STEPS)]
    waited = sum(float(one.max(axis=0).sum()) for one in costs) / sum(float(one.mean(axis=0).sum()) for one in costs)
    return Schedule(round(sum(one.shape[1] for one in costs) / len(costs)), waited)


def _costs(plan: Plan, index: int, gpus: int) -> npt.NDArray[np.float64]:
    """FLOPs of one step's packs [ranks, turns]."""
    schedule = plan.schedule(plan.step(index), gpus)
    return np.array([[pack.cost for pack in packs] for packs in schedule])


def time_of(
    arch: Architecture,
    setting: Setting,
    workload: Workload,
    gpu: Gpu,
    config: PlanConfig,
    *,
    steps: int,
    evaluations: int = 0,
    evaluated: int | None = None,
) -> Time:
    """The step of `setting` on GPUs of one kind, and a training of `steps` of them.

    Args:
        evaluations: on the held-out split, while it trains.
        evaluated: Comparisons of each, where that is less than the split.
    """
    rows, straggler = schedule_of(setting, workload)
    compute_s = _compute_s(arch, setting, workload, gpu, config, rows, straggler)
    forward_s = compute_s / rows / _passes(setting)
    sending = sending_of(
        arch, setting, gpu, config, rows=rows, forward_s=forward_s, backward_s=compute_s / rows - forward_s
    )
    update_s = _update_s(arch, setting, gpu, rows)
    step_s = compute_s + sending.waited_s + update_s
    evaluation_s = _evaluation_s(arch, setting, workload, gpu, config, evaluated)
    around = around_of(arch, setting, config, steps=steps, step_s=step_s)
    hours = (steps * step_s + evaluations * evaluation_s + around.total_s) / 3600
    return Time(
        rows=rows,
        straggler=straggler,
        compute_s=compute_s,
        send_s=sending.waited_s,
        update_s=update_s,
        hidden_s=sending.hidden_s,
        tokens_s=setting.global_batch * workload.tokens / step_s,
        mfu=3 * workload.flops * setting.global_batch / (step_s * setting.gpus * gpu.peak),
        steps=steps,
        evaluations=evaluations,
        evaluation_s=evaluation_s,
        around=around,
        hours=hours,
        cost=hours * setting.gpus * (gpu.price if config.price is None else config.price),
    )


def _compute_s(
    arch: Architecture, setting: Setting, workload: Workload, gpu: Gpu, config: PlanConfig, rows: int, straggler: float
) -> float:
    passes = _passes(setting)
    fullest = straggler * setting.global_batch / setting.gpus * workload.flops
    reading = rows * passes * _reading_s(arch, setting, gpu)
    launching = rows * launches_of_row(arch, setting.recompute) * gpu.launch_us * 1e-6
    return max(passes * fullest / _rate(setting, gpu, config), reading, launching)


def _passes(setting: Setting) -> float:
    """What a row computes over its forward pass alone: the backward pass takes two."""
    return 3 + _RECOMPUTED[setting.recompute]


def _rate(setting: Setting, gpu: Gpu, config: PlanConfig) -> float:
    """FLOPs a second; float32 products run as TF32 at half the rate of bf16."""
    return gpu.peak * config.compute_efficiency * (1 if setting.precision == "bf16" else 0.5)


def _reading_s(arch: Architecture, setting: Setting, gpu: Gpu) -> float:
    """Of all weights once, out of the GPU's memory."""
    return setting.itemsize * arch.numel / (gpu.hbm_gb_s * 1e9 * _HBM_SHARE)


def _evaluation_s(
    arch: Architecture, setting: Setting, workload: Workload, gpu: Gpu, config: PlanConfig, evaluated: int | None
) -> float:
    """One forward pass over the held-out split. Benchmarks are not counted."""
    if not workload.heldout:
        return 0.0
    count = min(evaluated or workload.heldout, workload.heldout)
    flops = workload.heldout_flops * count / workload.heldout
    held = replace(setting, global_batch=max(1, round(flops / workload.flops)))
    rows = rows_of_step(held, workload)
    compute_s = max(flops / setting.gpus / _rate(setting, gpu, config), rows * _reading_s(arch, setting, gpu))
    return compute_s + evaluation_sending_s(arch, setting, gpu, config, rows=rows, forward_s=compute_s / rows)


def _update_s(arch: Architecture, setting: Setting, gpu: Gpu, rows: int) -> float:
    shard = arch.trained_numel / (setting.sharing if setting.stage else 1)
    pcie = _PCIE_GB_S * 1e9
    weights_s = 0.0
    if setting.offload_parameters:
        weights_s = rows * 2 * setting.itemsize * arch.numel / setting.gpus / pcie
    if not setting.offload_optimizer:
        return weights_s + _UPDATED * shard / (gpu.hbm_gb_s * 1e9 * _HBM_SHARE)
    # Stage 3 adds each row's gradients to those in CPU memory: there and back; the others send them once.
    gradients = 8 * rows if setting.stage == 3 else 4
    return weights_s + shard / _CPU_ADAM + (gradients + setting.itemsize) * shard / pcie
