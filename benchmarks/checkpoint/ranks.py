"""What each rank of `benchmarks.checkpoint` does."""

import json
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.scaling.ranks import begin
from benchmarks.train_step.sides import ModelSize
from rm_core.model.reward_model import RewardModel
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.training.checkpointing import Checkpointing, Position, identity_of
from rm_core.training.engines.zero import ZeroEngine

__all__ = ["measure_rank", "resume_rank"]

_SPECIAL = ("<|endoftext|>", "<|im_end|>", "<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
_VOCABULARY = 32_768
_UNIVERSAL = {"universal_checkpoint_info": {"universal_checkpoint_version": 0.2}}
"""Without it DeepSpeed refuses to convert."""


def measure_rank(rank: int, world_size: int, port: int, shape: str, folder: str, turns: int) -> None:
    """Save and resume by both sides in turns; rank 0 writes ``turns.json``, the last files of both stay."""
    model, engine, kept = _start(rank, world_size, port, shape, folder)
    found = []
    for turn in range(turns):
        sides = [lambda: _ours(model, engine, kept), lambda: _deepspeed(model, engine, folder)]
        found.append({name: value for side in sides[:: 1 - 2 * (turn % 2)] for name, value in side().items()})
    kept.close()
    if rank == 0:
        Path(folder, "turns.json").write_text(json.dumps(found))
    dist.destroy_process_group()


def resume_rank(rank: int, world_size: int, port: int, shape: str, folder: str) -> None:
    """Resume from our files on another number of ranks; rank 0 writes ``other.json``."""
    _, _, kept = _start(rank, world_size, port, shape, folder)
    seconds = _timed(kept.resume)
    if rank == 0:
        Path(folder, "other.json").write_text(json.dumps({"ours_other_ranks_s": seconds}))
    dist.destroy_process_group()


def _start(
    rank: int, world_size: int, port: int, shape: str, folder: str
) -> tuple[RewardModel, ZeroEngine, Checkpointing]:
    begin(rank, world_size, port)
    special = {name: _VOCABULARY - len(_SPECIAL) + place for place, name in enumerate(_SPECIAL)}
    model = ModelSize(shape=shape, vocabulary=_VOCABULARY, special_ids=special).reward_model()
    config = TrainConfig(
        precision="fp32", zero=ZeroConfig(stage=2), output=os.path.join(folder, "ours"), cache_dir=folder,
        keep_checkpoints=1,
    )  # fmt: skip
    identity = identity_of(model, "benchmark")
    engine = ZeroEngine(model, config, lambda part, step: 1.0)
    _step(model, engine)
    return model, engine, Checkpointing(engine, config, identity, print)


def _step(model: RewardModel, engine: ZeroEngine) -> None:
    """Any gradient: so that there are moments to keep."""
    engine.backward(torch.stack([value.float().square().sum() for value in model.parameters()]).sum() * 1e-6)
    engine.step()


def _timed(action: Callable[[], Any]) -> float:
    """Seconds until all ranks are through."""
    dist.barrier()
    start = time.perf_counter()
    action()
    dist.barrier()
    return time.perf_counter() - start


def _ours(model: RewardModel, engine: ZeroEngine, kept: Checkpointing) -> dict[str, float]:
    position = Position(engine.num_steps, torch.zeros(1, dtype=torch.float64))
    start = time.perf_counter()
    blocked = _timed(lambda: kept.save(position, score=0.0))
    kept.close()
    complete = time.perf_counter() - start
    resume = _timed(kept.resume)
    _step(model, engine)
    return {"ours_blocked_s": blocked, "ours_complete_s": complete, "ours_resume_s": resume}


def _deepspeed(model: RewardModel, engine: ZeroEngine, folder: str) -> dict[str, float]:
    theirs: Any = engine._engine
    target = os.path.join(folder, "deepspeed")
    if engine.world_rank == 0:
        shutil.rmtree(target, ignore_errors=True)
    dist.barrier()
    save = _timed(lambda: theirs.save_checkpoint(target, tag="state", client_state=_UNIVERSAL))
    resume = _timed(lambda: theirs.load_checkpoint(target, tag="state"))
    _step(model, engine)
    return {"deepspeed_save_s": save, "deepspeed_resume_s": resume}
