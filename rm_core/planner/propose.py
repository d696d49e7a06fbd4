"""What does not fit is refused, with changes that do; and sizes over numbers of GPUs, each with its fastest setting.

Every proposed change was planned like the recipe itself. One key is changed, or where that is not enough two, then
three; what costs the least speed comes first.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product
from typing import Any

from data_pipeline.errors import RecipeError
from rm_core.planner.architecture import Architecture, architecture_of, config_of_train
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import GPUS, Gpu
from rm_core.planner.memory import Memory, largest_patch_budget, largest_token_budget, memory_of
from rm_core.planner.roofline import Time, time_of
from rm_core.planner.setting import Row, Setting
from rm_core.planner.workload import Workload
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.engine import check_engine, check_offload

__all__ = ["GPU_COUNTS", "Cell", "best_setting", "check_fits", "num_steps", "overrides", "proposals", "refuse"]


SMALLEST_ROW = Row(tokens=2048, patches=4096)
"""Less is no proposal where the largest Comparison is not known: it would not fit into a row."""
_MOST_GPUS = 256
_SHOWN = 4
_KEYS = {
    "recompute": "train.activation_checkpointing",
    "token_budget": "train.token_budget",
    "patch_budget": "train.patch_budget",
    "reduce": "train.zero.reduce",
    "shard_size": "train.zero.shard_size",
    "hpz_partition_size": "train.zero.hpz_partition_size",
    "stage": "train.zero.stage",
    "gpus": "train.num_workers",
    "offload_optimizer": "train.zero.offload_optimizer",
    "offload_parameters": "train.zero.offload_parameters",
}
"""What may be changed, from what costs least to what costs most."""


def check_fits(config: TrainConfig, gpu: Gpu, *, backbone: Any = None, gpus_per_node: int = 8) -> Memory:
    """What the training `config` needs of each GPU; `train` asks before it takes the cluster's GPUs.

    Args:
        gpu: the kind of GPU; for a device that is not in the catalogue, one with the device's memory.
        backbone: the Transformers config of the backbone; unset: of the folder ``config.model``.
        gpus_per_node: that share a machine's memory.

    Raises:
        RecipeError: it does not fit: what is short, and changes of the recipe that fit.
        MissingInput: there is no such folder.
    """
    check_train_config(config)
    arch = architecture_of(config_of_train(config) if backbone is None else backbone, config)
    setting = Setting.of(config, gpus_per_node=gpus_per_node)
    memory = memory_of(arch, setting)
    if not memory.fits(gpu):
        raise refuse(arch, setting, gpu)
    return memory


def refuse(
    arch: Architecture, setting: Setting, gpu: Gpu, *, smallest: Row = SMALLEST_ROW, gpus_key: str = _KEYS["gpus"]
) -> RecipeError:
    """The error that says what is short, and what would fit.

    Args:
        smallest: what a row must hold.
        gpus_key: where the recipe says how many GPUs there are.
    """
    lacking = memory_of(arch, setting).lacking(gpu)
    found = proposals(arch, setting, gpu, smallest=smallest)[:_SHOWN]
    cure = "; or ".join(overrides(setting, one).replace(_KEYS["gpus"], gpus_key) for one in found)
    if not cure:
        cure = f"nothing on up to {_MOST_GPUS} of these GPUs; {_on_other_gpus(arch, setting, gpu, smallest)}"
    return RecipeError(f"this training does not fit: {lacking}. What fits: {cure}")


def _on_other_gpus(arch: Architecture, setting: Setting, gpu: Gpu, smallest: Row) -> str:
    """Of the catalogue's larger GPUs the smallest on which it fits, as words."""
    others = [replace(one, margin=gpu.margin) for one in GPUS.values()]
    for other in sorted(others, key=lambda one: one.memory_gb):
        if other.memory_gb <= gpu.memory_gb:
            continue
        found = (
            [setting] if memory_of(arch, setting).fits(other) else proposals(arch, setting, other, smallest=smallest)
        )
        if found:
            return f"on others plan.gpu={other.name} {overrides(setting, found[0])}".rstrip()
    return "and none of the catalogue either: train less of the model (train.weights)"


def proposals(arch: Architecture, setting: Setting, gpu: Gpu, *, smallest: Row = SMALLEST_ROW) -> list[Setting]:
    """Settings that fit, with as few keys changed as possible; of each choice of keys the smallest change.

    Args:
        smallest: what a row must hold: the largest Comparison, where it is known.
    """
    choices = _choices(setting)
    for count in (1, 2, 3, 4):
        found = [
            one
            for names in combinations(_KEYS, count)
            if (one := _first_that_fits(arch, setting, gpu, names, choices, smallest))
        ]
        if found:
            return found
    return []


def overrides(setting: Setting, proposal: Setting) -> str:
    """The proposal as words for the command line: ``train.zero.stage=3 train.token_budget=4096``."""
    return " ".join(
        f"{key}={str(value).lower() if isinstance(value, bool) else value}"
        for name, key in _KEYS.items()
        if (value := getattr(proposal, name)) != getattr(setting, name)
    )


def _choices(setting: Setting) -> dict[str, Sequence[Any]]:
    """Other values of each key, the smallest change first; those of the budgets are computed. The engine stays."""
    rising = ("none", "selective", "full")
    doubled = [setting.gpus << power for power in range(1, 9) if setting.gpus << power <= _MOST_GPUS]
    return {
        "recompute": rising[rising.index(setting.recompute) + 1 :],
        "reduce": ["row"] if setting.reduce == "step" else [],
        "shard_size": [0] if setting.shard_size else [],
        "hpz_partition_size": [1] if setting.hpz_partition_size > 1 else [],
        "stage": range(max(setting.stage, 1) + 1, setting.highest_stage + 1),
        "gpus": doubled,
        "offload_optimizer": [] if setting.offload_optimizer else [True],
        "offload_parameters": [] if setting.offload_parameters else [True],
    }


def _first_that_fits(
    arch: Architecture,
    setting: Setting,
    gpu: Gpu,
    names: Sequence[str],
    choices: Mapping[str, Sequence[Any]],
    smallest: Row,
) -> Setting | None:
    """The first setting that fits with exactly the keys `names` changed."""
    plain = [name for name in names if name in choices]
    for values in product(*(choices[name] for name in plain)):
        one = replace(setting, **dict(zip(plain, values, strict=True)))
        if _is_possible(one) and (made := _with_smaller_row(arch, one, gpu, names, smallest)):
            return made
    return None


def _is_possible(setting: Setting) -> bool:
    """As `check_train_config` has it: which engine has which of these settings."""
    zero = setting.zero
    try:
        check_offload(zero)
        check_engine(setting.engine, zero, num_workers=setting.gpus)
    except RecipeError:
        return False
    return setting.stage <= setting.highest_stage


def _with_smaller_row(
    arch: Architecture, setting: Setting, gpu: Gpu, names: Sequence[str], smallest: Row
) -> Setting | None:
    """`setting` with the budgets that `names` lets shrink; None where it does not fit, or fits without that."""
    fits = memory_of(arch, setting).fits(gpu)
    shrinking = [name for name in ("token_budget", "patch_budget") if name in names]
    if fits or not shrinking:
        return setting if fits and not shrinking else None
    one = setting
    if "patch_budget" in shrinking:
        most = largest_patch_budget(arch, one, gpu) if "token_budget" not in shrinking else smallest.patches
        one = replace(one, patch_budget=min(most, one.patch_budget))
    if "token_budget" in shrinking:
        one = replace(one, token_budget=min(largest_token_budget(arch, one, gpu), one.token_budget))
    enough = one.token_budget >= smallest.tokens and one.patch_budget >= smallest.patches
    return one if enough and memory_of(arch, one).fits(gpu) else None


GPU_COUNTS = (8, 16, 32, 64, 128, 256)


@dataclass(frozen=True)
class Cell:
    """The fastest setting of one size on so many GPUs."""

    setting: Setting
    time: Time

    @property
    def words(self) -> str:
        """``ZeRO-2, full, 8,192 tokens``."""
        setting = self.setting
        offload = " offload" * setting.offload_optimizer
        return f"{setting.method}-{setting.stage}{offload}, {setting.recompute}, {setting.token_budget:,} tokens"


def num_steps(setting: Setting, comparisons: float, *, epochs: float = 1.0) -> int:
    """Optimiser steps of so many passes."""
    return max(1, math.ceil(epochs * comparisons / setting.global_batch))


def best_setting(
    arch: Architecture, setting: Setting, workload: Workload, gpu: Gpu, config: PlanConfig, *, epochs: float = 1.0
) -> Cell | None:
    """Of stages 2 and 3, with and without offload, or FSDP's 1 to 3, and all kinds of recomputation the fastest.

    Gradients are sent as the stage has it. So many GPUs may not have the groups of `setting`: all then share the state.
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
    if setting.engine == "fsdp":
        stages = ((1, False), (2, False), (3, False))
    for stage, offload in stages:
        plain = replace(setting, stage=stage, reduce="auto", offload_optimizer=offload, offload_parameters=False)
        of_all = replace(plain, hpz_partition_size=1), replace(plain, hpz_partition_size=1, shard_size=0)
        one = next(filter(_is_possible, (plain, *of_all)), None)
        if one is None:
            continue
        for recompute in ("none", "selective", "full"):
            one = replace(one, recompute=recompute, token_budget=setting.token_budget)
            if not memory_of(arch, one).fits(gpu):
                tokens = largest_token_budget(arch, one, gpu)
                one = replace(one, token_budget=min(tokens, one.token_budget))
            if one.token_budget >= smallest:
                yield one
