"""`basereward plan`: a recipe -> whether its training fits the GPUs it names, how long it takes, what it costs.

Nothing runs and nothing is written. Exit code 2 where it does not fit, with changes of the recipe that do.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import MissingInput
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe, with_absolute_paths
from jobs.runtime.terminal import columns, say, table
from rm_core.planner.architecture import Architecture, architecture_of, config_of_shape, config_of_train
from rm_core.planner.around import Around
from rm_core.planner.config import PlanConfig, check_plan_config
from rm_core.planner.gpus import Gpu, gpu_of
from rm_core.planner.memory import (
    FRAGMENTATION,
    LIBRARIES,
    Memory,
    largest_patch_budget,
    largest_token_budget,
    memory_of,
)
from rm_core.planner.propose import GPU_COUNTS, SMALLEST_ROW, best_setting, num_steps, refuse
from rm_core.planner.roofline import Time, time_of
from rm_core.planner.setting import Row, Setting
from rm_core.planner.workload import Workload, assumed_workload, workload_of_data
from rm_core.train_config.asking import asking_of
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.engine import check_engine

__all__ = ["Planned", "planned_of", "run"]


def run(recipe: Recipe) -> None:
    """Print the plan of `recipe.train` on the GPUs of `recipe.plan`.

    Raises:
        RecipeError: a value is wrong, or the training does not fit; then what would.
        MissingInput: neither `plan.shape` nor a model folder is there.
    """
    check_train_config(recipe.train)
    check_plan_config(recipe.plan)
    planned = planned_of(recipe)
    if not planned.memory.fits(planned.gpu):
        gpus_key = "train.num_workers" if recipe.plan.gpus is None else "plan.gpus"
        smallest = _smallest(planned.workload)
        raise refuse(planned.arch, planned.setting, planned.gpu, smallest=smallest, gpus_key=gpus_key)
    _show_memory(planned)
    _show_time(planned, recipe.plan)
    if recipe.plan.compare:
        _show_sizes(recipe, planned)


@dataclass(frozen=True)
class Planned:
    """Everything that is shown."""

    name: str
    arch: Architecture
    setting: Setting
    gpu: Gpu
    workload: Workload
    memory: Memory
    time: Time


def planned_of(recipe: Recipe) -> Planned:
    """What `recipe.train` needs and takes on the GPUs of `recipe.plan`.

    Raises:
        RecipeError: a value is wrong.
        MissingInput: neither `plan.shape` nor a model folder is there.
    """
    config, gpu = recipe.train, gpu_of(recipe.plan.gpu, margin=recipe.plan.memory_margin)
    shape = recipe.plan.shape
    backbone = config_of_train(config) if shape is None else config_of_shape(shape)
    arch = architecture_of(backbone, config)
    setting = Setting.of(config, gpus=recipe.plan.gpus, gpus_per_node=recipe.plan.gpus_per_node)
    check_engine(config.engine, config.zero, num_workers=setting.gpus)
    workload = _workload(recipe, backbone)
    steps = _steps(config, setting, workload)
    return Planned(
        name=shape or config.model,
        arch=arch,
        setting=setting,
        gpu=gpu,
        workload=workload,
        memory=memory_of(arch, setting),
        time=time_of(
            arch,
            setting,
            workload,
            gpu,
            recipe.plan,
            steps=steps,
            evaluations=_evaluations(config, steps),
            evaluated=config.evaluate_limit,
        ),
    )


def _workload(recipe: Recipe, backbone: Any) -> Workload:
    """Of the prepared data where it is there, else as the section plan assumes."""
    place = with_absolute_paths(recipe.train, "data").data
    try:
        data = PreparedData.open(manifest_of(recipe, place))
    except MissingInput:
        return assumed_workload(recipe.plan, backbone, recipe.train.global_batch_unit, preprocess=recipe.preprocess)
    asking = asking_of(recipe.train, data.manifest.reading.encode)
    return workload_of_data(data, backbone, recipe.train.global_batch_unit, asking=asking)


def _steps(config: TrainConfig, setting: Setting, workload: Workload) -> int:
    if config.stages:
        return sum(
            stage.steps or num_steps(setting, workload.comparisons, epochs=stage.epochs) for stage in config.stages
        )
    return config.max_steps or num_steps(setting, workload.comparisons, epochs=config.epochs)


def _evaluations(config: TrainConfig, steps: int) -> int:
    """Every so many steps, and after the last one."""
    return math.ceil(steps / config.evaluate_every) if config.evaluate_every else 0


def _smallest(workload: Workload) -> Row:
    """What a row must hold."""
    return Row(
        tokens=workload.largest_tokens or SMALLEST_ROW.tokens, patches=workload.largest_patches or SMALLEST_ROW.patches
    )


def _show_memory(planned: Planned) -> None:
    memory, setting, arch = planned.memory, planned.setting, planned.arch
    trained = "" if arch.trained_numel == arch.numel else f", {arch.trained_numel / 1e6:,.0f} million of them train"
    say(
        f"{planned.name}: {arch.numel / 1e6:,.0f} million weights{trained}; {setting.gpus} x {planned.gpu.name}, "
        f"{setting.method} stage {setting.stage}, {setting.precision}, checkpointing {setting.recompute}, rows of "
        f"{setting.token_budget:,} tokens and {setting.patch_budget:,} patches"
    )
    rows = [(what, _gb(size)) for what, size in memory.rows() if size]
    rows.append(("allocator's fragments, assumed", _gb(memory.fragments)))
    rows.append(("CUDA, cuBLAS, NCCL, assumed", _gb(LIBRARIES)))
    if memory.peak == memory.states.start:
        rows = [("the engine while it is built", _gb(memory.peak)), *rows[-2:]]
    rows += [("needed", _gb(memory.needed)), (f"there is, {planned.gpu.name}", f"{planned.gpu.memory_gb:.1f} GB")]
    rows.append((f"of it without the margin of {planned.gpu.margin:.0%}", f"{planned.gpu.usable_gb:.1f} GB"))
    rows.append(("CPU memory for each GPU", _gb(memory.host)))
    table(f"Memory of each GPU, at most; fragments are {FRAGMENTATION:.0%}", rows)
    tokens = largest_token_budget(arch, setting, planned.gpu)
    patches = largest_patch_budget(arch, setting, planned.gpu)
    largest = [("train.token_budget", f"{tokens:,}")]
    table("Largest budget that fits, the other one as it is", [*largest, ("train.patch_budget", f"{patches:,}")])


def _show_time(planned: Planned, config: PlanConfig) -> None:
    time, setting = planned.time, planned.setting
    price = planned.gpu.price if config.price is None else config.price
    say(f"\nData: {planned.workload.source}")
    table(
        f"Time, estimated: {config.compute_efficiency:.0%} of the peak in matrix products, "
        f"{config.network_efficiency:.0%} of the links; not measured",
        [
            ("rows of a GPU in a step", f"{time.rows:,}"),
            ("waiting for the longest row multiplies by", f"{time.straggler:.2f}"),
            ("computing", _seconds(time.compute_s)),
            ("sending" if not time.hidden_s else "waiting for what is sent", _seconds(time.send_s)),
            *([("sending beside computing", _seconds(time.hidden_s))] if time.hidden_s else []),
            ("updating", _seconds(time.update_s)),
            ("step", _seconds(time.step_s)),
            ("tokens a second, all GPUs", f"{time.tokens_s:,.0f}"),
            ("model FLOPs utilisation", f"{time.mfu:.1%}"),
            ("steps", f"{time.steps:,}"),
            *_evaluation_rows(time),
            *_around_rows(time.around),
            ("hours", f"{time.hours:,.1f}"),
            (f"at ${price:.2f} an hour and GPU", f"${time.cost:,.0f}"),
        ],
    )
    if setting.gpus > setting.global_batch:
        say(
            f"{setting.gpus - setting.global_batch} of {setting.gpus} GPUs have nothing to compute: "
            f"train.global_batch={setting.global_batch}"
        )


def _evaluation_rows(time: Time) -> list[tuple[str, str]]:
    if not time.evaluations:
        return []
    took = "not known without held-out data" if not time.evaluation_s else _seconds(time.evaluation_s)
    return [("evaluations on the held-out split", f"{time.evaluations:,}"), ("one of them", took)]


def _around_rows(around: Around) -> list[tuple[str, str]]:
    return [
        ("before the first step", _seconds(around.start_s)),
        ("checkpoints", f"{around.checkpoints:,} of {_gb(around.checkpoint_bytes)}"),
        ("upload of one, beside the steps", _seconds(around.upload_s)),
        ("waiting for all of them", _seconds(around.saving_s)),
        ("export of the model, without the audit's computing", _seconds(around.export_s)),
    ]


def _show_sizes(recipe: Recipe, planned: Planned) -> None:
    rows: list[Sequence[str]] = []
    for shape in recipe.plan.compare:
        backbone = config_of_shape(shape)
        arch = architecture_of(backbone, recipe.train)
        workload = _workload(recipe, backbone)
        for gpus in GPU_COUNTS:
            cell = best_setting(
                arch,
                replace(planned.setting, gpus=gpus),
                workload,
                planned.gpu,
                recipe.plan,
                epochs=recipe.train.epochs,
            )
            numbers = ("does not fit", "", "", "", "")
            if cell is not None:
                time = cell.time
                numbers = (
                    cell.words, f"{time.tokens_s:,.0f}", f"{time.mfu:.0%}", f"{time.hours:,.1f}", f"${time.cost:,.0f}"
                )  # fmt: skip
            rows.append((shape, str(gpus), *numbers))
    columns(
        f"The fastest setting that fits, on {planned.gpu.name}",
        ["size", "GPUs", "setting", "tokens/s", "MFU", "hours", "cost"],
        rows,
        numbers=True,
    )


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"


def _seconds(seconds: float) -> str:
    return f"{seconds:.3g} s"
