"""One process of the training group: data, plan, model, engine, loop, export.

`torch.distributed` must be initialised. Every rank calls `train_rank` with the same configuration.
"""

import os
from collections.abc import Mapping
from typing import Any

import torch
import torch.distributed as dist

from rm_core.batches.loader import PackLoader
from rm_core.batches.plan import Plan
from rm_core.model.backbone import load_backbone
from rm_core.model.families import row_format_of
from rm_core.model.folder import has_head, load_reward_model, save_reward_model
from rm_core.model.reward_model import RewardModel
from rm_core.training.config import TrainConfig
from rm_core.training.engine import ZeroEngine
from rm_core.training.planning import make_plan, open_data
from rm_core.training.schedule import learning_rate_scale
from rm_core.training.trainer import Hooks, Trainer

__all__ = ["train_rank"]


def train_rank(
    config: TrainConfig, hooks: Hooks, *, export_to: str, lineage: Mapping[str, Any], checkpoint: str | None
) -> None:
    """Train on this rank, from `checkpoint` on where there is one, and export from world rank 0.

    Args:
        export_to: the folder of the finished model.
        lineage: what the model came from, written into its marker.
    """
    if not torch.cuda.is_available():
        torch.set_num_threads(config.threads_per_worker)
    data = open_data(config)
    table, plan = make_plan(config, data)
    model = build_model(config)
    if config.activation_checkpointing:
        model.backbone.activation_checkpointing_enable()
    engine = ZeroEngine(model, config, lambda step: _scale(config, plan, step))
    loader = PackLoader(
        data,
        table,
        plan,
        rank=engine.world_rank,
        world_size=engine.world_size,
        row_format=row_format_of(model.backbone.config),
        prefetch=config.prefetch,
        num_workers=config.loader_workers,
    )
    trainer = Trainer(engine, loader, config, hooks, plan.num_steps)
    if checkpoint is not None:
        trainer.resume(checkpoint)
    model.train()
    trainer.run()
    weights = dict(engine.weights())
    if engine.world_rank == 0:
        save_reward_model(
            export_to, model.backbone, model.head_config, weights, processor_from=config.model, lineage=lineage
        )
    dist.barrier()


def build_model(config: TrainConfig) -> RewardModel:
    """The model to start from: an exported reward model with its head, or a backbone with a new one."""
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    if not os.path.isdir(config.model) or not has_head(config.model):
        model = RewardModel(load_backbone(config.model, dtype=dtype), config.head)
        model.head.initialise(config.seed)
        return model
    return load_reward_model(config.model, dtype=dtype)


def _scale(config: TrainConfig, plan: Plan, step: int) -> float:
    optimizer = config.optimizer
    return learning_rate_scale(
        step, num_steps=plan.num_steps, warmup_ratio=optimizer.warmup_ratio, final_ratio=optimizer.final_ratio
    )
