"""Seconds from "go on" to the end of the first step after a checkpoint: ours beside Hugging Face's Trainer.

    ours        `Trainer.run`: the newest checkpoint is hashed and read, the plan starts at its step
    trainer     `transformers.Trainer.train(resume_from_checkpoint=...)`: to keep its order it reads the batches seen
                before again, and drops them

The same model, Comparisons a step and loading of rows for both, on one rank. Each side trains and ends, and a new
process goes on.
"""

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import softplus
from transformers import Trainer, TrainerCallback, TrainingArguments

from benchmarks.scaling.ranks import begin, build_trainer
from rm_core.batches.decoding import Decoder
from rm_core.batches.packed import PackedBatch
from rm_core.model.reward_model import RewardModel
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.training.data_plan import make_plan, open_data
from rm_core.training.worker import build_model

__all__ = ["SIDES", "first_step_rank"]

BATCH = 16
SIDES = ("ours", "trainer")


def first_step_rank(rank: int, world_size: int, port: int, side: str, folder: str, steps: int) -> None:
    """Go on to `steps` steps in all; ``<side>.json`` gets the seconds until the first of them was done."""
    begin(rank, world_size, port)
    config = TrainConfig(
        model=f"{folder}/model", data=f"{folder}/shards", output=f"{folder}/{side}", cache_dir=folder,
        precision="fp32", zero=ZeroConfig(stage=0), global_batch=BATCH, token_budget=2048, max_steps=steps,
        log_every=1, checkpoint_every=10**9, keep_checkpoints=1, stall_timeout_s=0,
    )  # fmt: skip
    seconds = {"ours": _ours, "trainer": _transformers}[side](config)
    Path(folder, f"{side}.json").write_text(json.dumps(seconds))
    dist.destroy_process_group()


def _ours(config: TrainConfig) -> float:
    ended: list[float] = []

    def log(_step: int, _metrics: Mapping[str, float]) -> None:
        ended.append(time.perf_counter())

    trainer = build_trainer(config, log)
    start = time.perf_counter()
    trainer.run()
    return ended[0] - start


class _Pairs(nn.Module):
    """The reward model as Hugging Face's Trainer wants one: it returns its loss."""

    def __init__(self, model: RewardModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: PackedBatch) -> dict[str, Tensor]:
        better, worse = self.model(batch)[batch.labels.pairs]
        return {"loss": softplus(worse - better).mean()}


class _StepEnds(TrainerCallback):
    def __init__(self) -> None:
        self.times: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.times.append(time.perf_counter())


def _transformers(config: TrainConfig) -> float:
    data = open_data(config)
    table, _ = make_plan(config, data)
    model = build_model(config)
    arguments = TrainingArguments(
        output_dir=config.output, max_steps=config.max_steps, per_device_train_batch_size=BATCH,
        save_steps=config.max_steps, save_total_limit=1, logging_steps=1, report_to=[], disable_tqdm=True,
        use_cpu=True, remove_unused_columns=False, seed=config.seed,
    )  # fmt: skip
    ends = _StepEnds()
    with Decoder(data, row_format=model.row_format, num_workers=0) as decoder:

        def load(indices: Sequence[int]) -> dict[str, PackedBatch]:
            return {"batch": decoder.submit(indices).result()}

        trainer = Trainer(
            _Pairs(model), arguments, data_collator=load, train_dataset=[int(index) for index in table.index],
            callbacks=[ends],
        )  # fmt: skip
        kept = any(Path(config.output).glob("checkpoint-*"))
        start = time.perf_counter()
        trainer.train(resume_from_checkpoint=kept)
    return ends.times[0] - start
