"""What each rank of `benchmarks.scaling` does: the trainer's own loop, without Ray and without an export."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import torch.distributed as dist

from rm_core.batches.loader import PackLoader
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.train_config.parameter_groups import rate_of_stage
from rm_core.training.checkpointing import Checkpointing, identity_of
from rm_core.training.data_plan import make_plan, open_data
from rm_core.training.engines.choose import make_engine
from rm_core.training.trainer import Hooks, Trainer
from rm_core.training.watchdog import Watchdog
from rm_core.training.worker import build_model

__all__ = ["begin", "build_trainer", "train_rank"]


def train_rank(rank: int, world_size: int, port: int, engine: str, stage: int, steps: int, folder: str) -> None:
    """Train `steps` steps; rank 0 writes the Comparisons a second of each to ``rates.json``."""
    begin(rank, world_size, port)
    rates: list[float] = []
    build_trainer(
        _config(folder, engine, stage, steps), lambda _, metrics: rates.append(metrics["system/comparisons_per_s"])
    ).run()
    if rank == 0:
        Path(folder, "rates.json").write_text(json.dumps(rates))
    dist.destroy_process_group()


def begin(rank: int, world_size: int, port: int) -> None:
    """Make this process one of the ranks, of one thread."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world_size)}
    os.environ |= {"LOCAL_WORLD_SIZE": str(world_size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    torch.set_num_threads(1)
    dist.init_process_group("gloo")


def _config(folder: str, engine: str, stage: int, steps: int) -> TrainConfig:
    return TrainConfig(
        model=f"{folder}/model", data=f"{folder}/shards", output=f"{folder}/train", cache_dir=folder,
        precision="fp32", engine=engine, zero=ZeroConfig(stage=stage), global_batch=16, token_budget=2048,
        max_steps=steps, log_every=1, checkpoint_every=10**9, stall_timeout_s=0,
    )  # fmt: skip


def build_trainer(config: TrainConfig, log: Callable[[int, Mapping[str, float]], None]) -> Trainer:
    """A trainer whose metric points go to `log`."""
    data = open_data(config)
    table, plan = make_plan(config, data)
    model = build_model(config)
    identity = identity_of(model, data.manifest.fingerprint)
    engine = make_engine(model, config, rate_of_stage(config, plan))
    model.use_attention(config.attention)
    model.train()
    loader = PackLoader(
        data, table, plan, rank=engine.world_rank, world_size=engine.world_size,
        row_format=model.row_format, prefetch=config.prefetch,
    )  # fmt: skip

    hooks = Hooks(
        begin=lambda steps: None, log=log, before_save=lambda: None, stop=lambda: False, note=print
    )  # fmt: skip
    watchdog = Watchdog(
        model, timeout_s=0, rank=engine.world_rank, world_size=engine.world_size, report=lambda text: None
    )  # fmt: skip
    return Trainer(
        engine, model, loader, config, hooks, Checkpointing(engine, config, identity, print),
        num_steps=plan.num_steps, stage_starts=plan.starts, watchdog=watchdog,
    )  # fmt: skip
