"""The trained weights of all ranks -> one folder, which a fresh process has found to score as the trained engine does.

    all ranks: score a row of training Comparisons, gather the weights
    rank 0: EXPORT.unverified -> `rm_core.model_folder.verify` in a process of its own -> renamed to EXPORT, or sent
    the others meanwhile: wait, and are told of each part (`first_rank`)

A folder that does not agree keeps its name, for whoever looks for the cause, and is never taken for a finished model.
"""

import os
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_pipeline.encoding.joining import as_one_record
from data_pipeline.encoding.reading import Reading
from data_pipeline.storage import is_local, join, name_of, write_atomic
from rm_core.batches.loader import Comparisons
from rm_core.batches.packed import PackedBatch, collate
from rm_core.model.lora import merged
from rm_core.model.reward_model import Output, RewardModel
from rm_core.model_folder.fixture import write_fixture
from rm_core.model_folder.folder import finish_folder, write_model_files
from rm_core.model_folder.hub import hub_name
from rm_core.model_folder.remote import publish
from rm_core.model_folder.verify import audit_export
from rm_core.packing.sizes import PlanningTable
from rm_core.train_config.config import TrainConfig, minimised, sharding
from rm_core.training.engines.interface import Engine
from rm_core.training.first_rank import Report, on_first_rank

__all__ = ["export", "fixture_row", "model_card"]

_OF_EACH_KIND = 4
_READ = {
    "scalar": " and a response, and gives one number",
    "critic": ", a response and a critique of it, which it may write itself, and gives one number",
    "generative": " and two responses, and says which is better; from all pairs each response has one number",
}
_SHOWN = ("train/loss", "train/accuracy", "train/margin", "train/reward_mean", "train/reward_std")


def export(
    engine: Engine,
    model: RewardModel,
    row: PackedBatch,
    config: TrainConfig,
    *,
    export_to: str,
    lineage: Mapping[str, Any],
    reading: Reading,
    card: str,
    beat: Report,
) -> None:
    """Write the finished model; a collective call. Of its weights rank 0 holds a file's worth at once.

    Args:
        row: scored before and after, the same on every rank (`fixture_row`).
        export_to: the folder, local or in an object store; what lies there goes.
        lineage: what the model came from, written into its marker.
        reading: of its training data.
        card: its README.
        beat: is told of each part that is done, for the watchdog: a model of 145 GB takes a large part of an hour.

    Raises:
        RunError: on every rank, where the folder does not score as the engine does.
    """
    output = _score(engine, model, row)
    weights = merged(_told(engine.weights(), beat), config.lora)
    draft = f"{export_to}.unverified" if is_local(export_to) else join(config.cache_dir, "export.unverified")
    if engine.world_rank == 0:
        _remove(draft)
        write_fixture(draft, row, output.rewards, model.dtype, costs=output.costs)
        write_atomic(os.path.join(draft, "README.md"), card.encode())
        write_model_files(
            draft, model.backbone, model.head_config, weights,
            processor_from=config.model, reading=reading, paradigm=config.paradigm,
            question=config.generative.asked if config.paradigm == "generative" else "",
            form=config.generative.form,
        )  # fmt: skip
    else:
        deque(weights, maxlen=0)  # it takes part in gathering them

    def finish(report: Report) -> None:
        finish_folder(draft, lineage, report=report)
        audit_export(draft, report=report)
        publish(draft, export_to, report=report)

    on_first_rank(finish, beat=beat)


def _told(weights: Iterable[tuple[str, Tensor]], beat: Report) -> Iterator[tuple[str, Tensor]]:
    """The same; rank 0, which alone gets them, tells `beat` of each, while it writes those before."""
    for name, value in weights:
        beat(f"gathering {name}")
        yield name, value


def fixture_row(data: Comparisons, table: PlanningTable, model: RewardModel) -> PackedBatch:
    """The smallest Comparisons of the training split, four with images and four without, as one row."""
    size = table.num_tokens.astype(np.int64) + table.num_patches
    chosen = [_smallest(table.index, size, kind) for kind in (table.has_images, ~table.has_images)]
    items = [as_one_record(data.encoded(int(index))) for index in np.concatenate(chosen)]
    return collate(items, row_format=model.row_format)


def _smallest(index: npt.NDArray[Any], size: npt.NDArray[Any], kind: npt.NDArray[np.bool_]) -> npt.NDArray[Any]:
    """Rows of the data: the smallest of a kind, each once though an epoch may show it again."""
    index, size = index[kind], size[kind]
    _, first = np.unique(index, return_index=True)
    return index[first[np.argsort(size[first], kind="stable")[:_OF_EACH_KIND]]]


def _score(engine: Engine, model: RewardModel, row: PackedBatch) -> Output:
    """The engine's output for the row, in evaluation mode; under ZeRO-3 every rank takes part."""
    training = model.training
    model.eval()
    with torch.no_grad():
        rewards, costs = engine.outputs(row.to(engine.device))
    model.train(training)
    return Output(rewards.float().cpu(), None if costs is None else costs.cpu())


def _remove(folder: str) -> None:
    if os.path.isdir(folder):
        shutil.rmtree(folder)


def model_card(config: TrainConfig, lineage: Mapping[str, Any], metrics: Mapping[str, float], steps: int) -> str:
    """Markdown with the metadata block that model hubs read; no path of this machine stands in it.

    Args:
        lineage: where the model came from; texts are shown, its ``config`` is left to ``model.json``.
        metrics: of the last window of the training; none where the weights are not its.
        steps: optimiser steps that gave the weights.
    """
    what = "pairs" if config.global_batch_unit == "pairs" else "Comparisons"
    facts = {
        "Started from": f"`{_model_name(config.model)}`",
        "Steps": f"{steps:,} of {config.global_batch} {what}",
        "Objective": f"`{minimised(config)}`",
        "Peak learning rate": f"{config.optimizer.learning_rate:g}",
        "Precision": f"{config.precision}, {sharding(config)}",
    }
    said = {name: value for name, value in lineage.items() if isinstance(value, str)}
    facts |= {name.replace("_", " ").capitalize(): f"`{value}`" for name, value in said.items()}
    numbers = {name: f"{metrics[name]:.4f}" for name in _SHOWN if name in metrics}
    return "\n".join(
        [
            "---", "library_name: basereward", "tags: [reward-model]", "---", "",
            f"# A {config.paradigm} reward model", "",
            f"It reads a prompt with its images{_READ[config.paradigm]}: the higher, the better.",
            "Only rewards of responses to the same prompt can be compared.", "",
            "The package `basereward` loads and scores it; Transformers alone does not give its rewards.", "",
            "```python", "import rm_core", "", 'scorer = rm_core.load("this/folder")', "```", "",
            "## Training", "", *_table("what", facts), "",
            *(["The last window of its training, on the data it was trained on:", "", *_table("metric", numbers), ""] if
              numbers else []),
            "`model.json` has the checksum of every file and the whole configuration; `reward_fixture.safetensors` has",
            "inputs and the rewards that the trained engine gave them.",
            "`python -m rm_core.model_folder.verify` compares.", "",
        ]
    )  # fmt: skip


def _model_name(model: str) -> str:
    """The name of a local folder, which is a path of one machine, or of the hub's model in it; an address as it is."""
    return hub_name(model) or name_of(model.rstrip("/")) if is_local(model) else model


def _table(name: str, rows: Mapping[str, str]) -> list[str]:
    return [f"| {name} | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
