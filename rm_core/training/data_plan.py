"""Recipe and manifest -> the whole plan of a training. Cheap: the driver makes it before it asks for a cluster."""

import math

import numpy as np

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.storage import is_local
from data_pipeline.storage.cache import ShardCache
from rm_core.model.families import family_of
from rm_core.model.flops import cost_model
from rm_core.model_folder.paradigm import check_read_by
from rm_core.model_folder.remote import backbone_settings
from rm_core.packing.epoch import epoch_table
from rm_core.packing.plan import PackBudget, Plan, Stage, StagedPlan
from rm_core.packing.sizes import PlanningTable
from rm_core.train_config.asking import asking_of
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.weights import StageConfig

__all__ = ["make_plan", "open_data", "shown_more_often"]

_NOTABLY = 1.25
"""So many times as often as asked is worth a line."""


def open_data(config: TrainConfig) -> PreparedData:
    """The prepared data as a worker reads it: remote shards through a cache on its machine.

    Raises:
        MissingInput, CorruptData: as for `PreparedData.open`.
    """
    cache = None if is_local(config.data) else ShardCache(config.cache_dir, config.cache_bytes)
    return PreparedData.open(config.data, cache)


def make_plan(config: TrainConfig, data: PreparedData) -> tuple[PlanningTable, StagedPlan]:
    """The planning table of an epoch of training and the whole plan; the same on every rank and in the driver.

    Raises:
        MissingInput: `config.model` is no folder of a backbone.
        RecipeError: data of another paradigm; a backbone of a family that is not known, or one that reads text only
            and would see images; or a Comparison that alone exceeds a budget.
        RunError: a stage holds no Comparison.
    """
    critiques = data.manifest.reading.encode.critiques
    check_read_by(config.paradigm, critiques, data=f"the data in {data.folder!r}")
    backbone = backbone_settings(config.model, "make a folder with `basereward init-model`")
    table = epoch_table(data, cost_model(backbone), asking_of(config, data.manifest.reading.encode))
    stages = config.stages or [StageConfig(epochs=config.epochs, steps=config.max_steps)]
    plan = StagedPlan([_stage(config, table, number, stage) for number, stage in enumerate(stages)])
    if not family_of(backbone.model_type).has_vision:
        _check_text_only(config, table, plan)
    return table, plan


def _stage(config: TrainConfig, table: PlanningTable, number: int, stage: StageConfig) -> Stage:
    shown = {"all": np.ones(len(table), dtype=np.bool_), "images": table.has_images, "text": ~table.has_images}
    indices = np.flatnonzero(shown[stage.only])
    name = stage.name or str(number + 1)
    if len(indices) == 0 < len(table):
        raise RunError(
            f"train.stages.{number}.only={stage.only!r}: no Comparison of the training split is of that kind"
        )
    part = table if len(indices) == len(table) else table.where(shown[stage.only])
    units = int(part.num_pairs.sum(dtype=np.int64)) if config.global_batch_unit == "pairs" else len(part)
    plan = Plan(
        part,
        seed=config.seed + number,
        global_batch=config.global_batch,
        num_steps=stage.steps or math.ceil(stage.epochs * units / config.global_batch),
        budget=PackBudget(tokens=config.token_budget, patches=config.patch_budget),
        unit=config.global_batch_unit,
    )
    return Stage(name, plan, indices)


def shown_more_often(config: TrainConfig, plan: StagedPlan) -> list[str]:
    """A line for every stage that shows Comparisons clearly more often than the recipe seems to ask.

    A step always holds `global_batch` Comparisons or pairs, so it begins the next epoch where this one has too few
    left: with one Comparison and the default of 128, a single step shows it 128 times.
    """
    asked = [stage.epochs if stage.steps is None else None for stage in config.stages]
    asked = asked or [config.epochs if config.max_steps is None else None]
    lines = []
    what = "pairs" if config.global_batch_unit == "pairs" else "Comparisons"
    for stage, epochs in zip(plan.stages, asked, strict=True):
        size, steps = stage.plan.epoch_units, stage.plan.num_steps
        times = steps * config.global_batch / size
        who = f"train.global_batch={config.global_batch}" + (f" (stage {stage.name})" if config.stages else "")
        if config.global_batch > size:
            lines.append(
                f"{who} is more than the {size:,} {what} of an epoch: every step shows each "
                f"{config.global_batch / size:.1f} times, {times:.1f} times in all; lower it to {size} or less"
            )
        elif epochs is not None and times > _NOTABLY * epochs:
            lines.append(
                f"{who}: {steps} whole steps show the {size:,} {what} {times:.2f} times, not {epochs:g}; lower it "
                "to come nearer"
            )
    return lines


def _check_text_only(config: TrainConfig, table: PlanningTable, plan: StagedPlan) -> None:
    for number, stage in enumerate(plan.stages):
        if count := int(table.has_images[stage.indices].sum()):
            raise RecipeError(
                f"train.model={config.model!r} reads text only, and {count} Comparisons of stage {stage.name} show "
                f"images: set train.stages.{number}.only=text, as in `train: {{stages: [{{only: text}}]}}`"
            )
