"""One process of the training group: data, plan, model, engine, loop, export.

`torch.distributed` must be initialised. Every rank calls `train_rank` with the same configuration.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.distributed as dist

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.storage import cache_folder, wait_for_stores
from rm_core.batches.loader import PackLoader
from rm_core.model.backbone import load_backbone
from rm_core.model.config import WRITERS
from rm_core.model.lora import add_adapters
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.folder import has_head, load_reward_model
from rm_core.model_folder.language_head import read_language_head
from rm_core.model_folder.paradigm import check_paradigm
from rm_core.model_folder.remote import local_backbone
from rm_core.packing.epoch import training_view
from rm_core.packing.plan import StagedPlan
from rm_core.planner.gpus import gpu_of_device
from rm_core.planner.memory import Memory
from rm_core.planner.propose import check_fits
from rm_core.train_config.asking import asking_of
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import adapted_groups, freeze, rate_of_stage
from rm_core.training.checkpointing import Checkpointing, identity_of
from rm_core.training.data_plan import make_plan, open_data
from rm_core.training.engines.choose import make_engine
from rm_core.training.engines.interface import Engine
from rm_core.training.evaluation import EvaluationSet
from rm_core.training.export import export, fixture_row, model_card
from rm_core.training.trainer import Hooks, Trainer
from rm_core.training.watchdog import Watchdog

__all__ = ["MakeSets", "train_rank"]


MakeSets = Callable[[TrainConfig, PreparedData], Sequence[EvaluationSet]]
"""What the recipe evaluates on while it trains: of the prepared data as this worker reads it."""


def train_rank(
    config: TrainConfig,
    hooks: Hooks,
    *,
    export_to: str,
    lineage: Mapping[str, Any],
    make_sets: MakeSets = lambda config, data: (),
) -> None:
    """Train on this rank, from the newest checkpoint on where there is one, and export from world rank 0.

    Args:
        export_to: the folder of the finished model.
        lineage: what the model came from, written into its marker; of a training that ended early also how
            (``ended_early``) and after which step (``steps``); of the best weights by what they are that (``best_by``)
            and their step (``exported_step``).
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(config.threads_per_worker)
    wait_for_stores(config.read_retry_s, hooks.note)
    original, copies = config, cache_folder(config.cache_dir)
    config = replace(config, model=local_backbone(config.model, copies), cache_dir=copies)
    planned = _planned_memory(config)
    data = open_data(config)
    table, plan = make_plan(config, data)
    model = build_model(config)
    identity = identity_of(model, data.manifest.fingerprint)
    engine = _engine_of(model, config, plan)
    view = training_view(data, asking_of(config, data.manifest.reading.encode))
    loader = PackLoader(
        view,
        table,
        plan,
        rank=engine.world_rank,
        world_size=engine.world_size,
        row_format=model.row_format,
        prefetch=config.prefetch,
        num_workers=config.loader_workers,
    )
    checkpoints = Checkpointing(engine, config, identity, hooks.note)
    with _watchdog(config, engine, model, hooks.note) as watchdog:
        trainer = Trainer(
            engine, model, loader, config, hooks, checkpoints,
            num_steps=plan.num_steps, stage_starts=plan.starts, watchdog=watchdog,
            planned=planned, sets=make_sets(config, data),
        )  # fmt: skip
        trainer.resume()
        model.train()
        trainer.run()
        watchdog.enter("export")
        steps, metrics, lineage = _chosen(trainer, checkpoints, config, lineage)
        card = model_card(original, lineage, metrics, steps)
        row = fixture_row(view, table, model)
        reading = data.manifest.reading
        export(
            engine, model, row, config, export_to=export_to, lineage=lineage, reading=reading, card=card,
            beat=watchdog.advance,
        )  # fmt: skip


def _chosen(
    trainer: Trainer, checkpoints: Checkpointing, config: TrainConfig, lineage: Mapping[str, Any]
) -> tuple[int, Mapping[str, float], Mapping[str, Any]]:
    """The weights to export, which the engine holds then: their step, what was measured of them, and the lineage."""
    steps, metrics = trainer.steps_done, trainer.last_metrics
    if trainer.ended:
        lineage = {**lineage, "ended_early": trainer.ended, "steps": steps}
    if config.export_weights == "best":
        steps, metrics = checkpoints.go_to_best(), {}
        lineage = {**lineage, "best_by": config.best_metric, "exported_step": steps}
    return steps, metrics, lineage


def _engine_of(model: RewardModel, config: TrainConfig, plan: StagedPlan) -> Engine:
    """The engine with the model on its device, where kernels, compiled parts and the loss are chosen."""
    engine = make_engine(model, config, rate_of_stage(config, plan))
    model.use_attention(config.attention)
    model.compile_parts(config.compile)
    # Liger would hold the head's gathered weights until its backward pass.
    model.use_language_loss("chunked" if config.zero.stage == 3 else config.language_loss)
    return engine


def _planned_memory(config: TrainConfig) -> Memory | None:
    """The memory of this GPU that the training needs, as the planner estimates; None on a CPU.

    Raises:
        RecipeError: it does not fit; the message names changes that make it fit.
    """
    if not torch.cuda.is_available():
        return None
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    host_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // local
    memory_bytes = torch.cuda.get_device_properties().total_memory
    gpu = gpu_of_device(torch.cuda.get_device_name(), memory_bytes=memory_bytes, host_bytes=host_bytes)
    return check_fits(replace(config, num_workers=dist.get_world_size()), gpu, gpus_per_node=local)


def build_model(config: TrainConfig) -> RewardModel:
    """The model to start from: an exported reward model of the same paradigm, or a backbone with a new head. Weights
    that the recipe freezes are frozen, and adapters are added where it asks for them.
    """
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    if has_head(config.model):
        check_paradigm(config.model, config.paradigm)
        model = load_reward_model(config.model, dtype=dtype)
    else:
        backbone = load_backbone(config.model, dtype=dtype)
        language_head = read_language_head(config.model, backbone) if config.paradigm in WRITERS else None
        model = RewardModel(backbone, config.head, language_head, judges=config.paradigm == "generative")
        model.head.initialise(config.seed)
    model.recompute_activations(config.activation_checkpointing)
    add_adapters(model, adapted_groups(config), config.lora, config.seed)
    freeze(model, config, model.family.model_type)
    return model


def _watchdog(config: TrainConfig, engine: Engine, model: RewardModel, report: Callable[[str], None]) -> Watchdog:
    return Watchdog(
        model,
        timeout_s=config.stall_timeout_s,
        rank=engine.world_rank,
        world_size=engine.world_size,
        report=lambda text: report(text.splitlines()[0]),  # all of it stands in the worker's stderr
    )
