"""What each rank of `benchmarks.large_model` does: load, shard, make the engine, export with its audit."""

import ctypes
import gc
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

from benchmarks.common.lengths import Lengths
from benchmarks.gpu_step.cases import Kind, make_comparisons
from benchmarks.scaling.ranks import begin
from data_pipeline.config import PreprocessConfig
from data_pipeline.encoding.reading import Reading
from rm_core.batches.packed import collate
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder import weight_files
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.training import export as export_module
from rm_core.training.engines import zero as engine_module
from rm_core.training.worker import build_model

__all__ = ["FILES", "PHASES", "VOCABULARY", "measure_rank"]

PHASES = ("start", "tiny", "load", "ready", "export", "end")
"""The number in the shared value says which."""
FILES = 36
"""Of the export: as many as 145 GB have of 4."""
VOCABULARY = 4096


def measure_rank(rank: int, world_size: int, port: int, folder: str, phase: Any, seen: Any, shards: Any) -> None:
    """One rank; the process that started it looks at what it holds.

    A tiny model goes the whole way first, so that what code and libraries take is there before.

    Args:
        phase: shared; rank 0 writes the place in `PHASES`.
        seen: shared; the same, once it was looked at what all ranks hold at its beginning.
        shards: shared, bytes of each rank's shards, which would lie on its GPU.
    """
    begin(rank, world_size, port)
    for name, names in (("tiny", ("tiny", "", "")), ("model", ("load", "ready", "export"))):
        _enter(phase, seen, names[0])
        config = TrainConfig(model=os.path.join(folder, name), zero=ZeroConfig(stage=3), cache_dir=folder)
        model = build_model(config)
        with _Counted(model, shards, rank):
            _scaled(model, config)
        _enter(phase, seen, names[1])
        _export(model, config, os.path.join(folder, f"{name}-export"), lambda: _enter(phase, seen, names[2]))  # noqa: B023
    _enter(phase, seen, "end")
    dist.destroy_process_group()


def _scaled(model: RewardModel, config: TrainConfig) -> None:
    """Shard the model, with the engine's buffers as small against it as they are against 72B: they are a GPU's."""
    numel = sum(parameter.numel() for parameter in model.parameters())
    whole, share = engine_module.deepspeed_config, numel / 72e9

    def scaled(given: TrainConfig) -> dict[str, Any]:
        found = whole(given)
        found["zero_optimization"] |= {
            "stage3_max_live_parameters": round(1e9 * share), "stage3_prefetch_bucket_size": round(5e7 * share),
            "reduce_bucket_size": max(1, round(5e8 * share)),
        }  # fmt: skip
        return found

    engine_module.deepspeed_config = scaled
    try:
        engine_module.shard(model, config)
    finally:
        engine_module.deepspeed_config = whole
    weight_files.SHARD_BYTES = 2 * numel // FILES


def _export(model: RewardModel, config: TrainConfig, folder: str, scored: Callable[[], None]) -> None:
    """The engine, and the export with its audit; `scored` is called between the engine's rewards and the rest."""
    engine = engine_module.ZeroEngine(model, config, lambda *_: 1.0)
    lengths = Lengths(median=16, spread=0.1, longest=32)
    kind = Kind(num_responses=2, side=0, prompt=32, response=lengths, vocabulary=VOCABULARY)
    row = collate(make_comparisons(kind, 8, seed=0), row_format=model.row_format)
    score = export_module._score

    def score_first(*arguments: Any) -> Any:
        found = score(*arguments)
        scored()
        return found

    export_module._score = score_first
    try:
        export_module.export(
            engine, model, row, config, export_to=folder, lineage={},
            reading=Reading.of_config(PreprocessConfig(), "none"), card="", beat=lambda what: None,
        )  # fmt: skip
    finally:
        export_module._score = score


def _enter(phase: Any, seen: Any, name: str) -> None:
    """All ranks have come here, and what they hold was looked at; without a name nothing is looked at."""
    if not name:
        return
    _give_back()
    dist.barrier()
    if dist.get_rank() == 0:
        phase.value = PHASES.index(name)
        while name != PHASES[-1] and seen.value != phase.value:
            time.sleep(0.01)
    dist.barrier()


def _give_back() -> None:
    """What the allocator keeps of earlier phases would count as theirs, or hide what a later one takes."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class _Counted:
    """Bytes of the shards that a rank has made, into its place of `shards`, while it makes them."""

    def __init__(self, model: RewardModel, shards: Any, rank: int) -> None:
        self._parameters: list[Any] = list(model.parameters())
        self._shards = shards
        self._rank = rank
        shards[rank] = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _count(self) -> None:
        place, last = 0, False
        while not last:
            last = self._ended.wait(0.002)
            while place < len(self._parameters):
                part: torch.Tensor | None = getattr(self._parameters[place], "ds_tensor", None)
                if part is None:
                    break
                self._shards[self._rank] += part.numel() * part.element_size()
                place += 1
