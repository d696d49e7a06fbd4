"""The README of an exported reward model: what it is, what it was trained on, how it did, how to use it."""

from collections.abc import Mapping
from typing import Any

from data_pipeline.storage import is_local, name_of
from rm_core.train_config.config import TrainConfig

__all__ = ["model_card"]

_SHOWN = ("train/loss", "train/accuracy", "train/margin", "train/reward_mean", "train/reward_std")


def model_card(config: TrainConfig, lineage: Mapping[str, Any], metrics: Mapping[str, float], steps: int) -> str:
    """Markdown with the metadata block that model hubs read; no path of this machine stands in it.

    Args:
        lineage: where the model came from; texts are shown, its ``config`` is left to ``model.json``.
        metrics: of the last window of the training.
        steps: optimiser steps taken.
    """
    facts = {
        "Started from": f"`{_shown(config.model)}`",
        "Steps": f"{steps:,} of {config.global_batch} Comparisons",
        "Objective": f"`{config.objective.name}`",
        "Peak learning rate": f"{config.optimizer.learning_rate:g}",
        "Precision": f"{config.precision}, ZeRO stage {config.zero.stage}",
    }
    said = {name: value for name, value in lineage.items() if isinstance(value, str)}
    facts |= {name.replace("_", " ").capitalize(): f"`{value}`" for name, value in said.items()}
    numbers = {name: f"{metrics[name]:.4f}" for name in _SHOWN if name in metrics}
    return "\n".join(
        [
            "---", "library_name: basereward", "tags: [reward-model]", "---", "",
            "# A scalar reward model", "",
            "It reads a prompt with its images and a response, and gives one number: the higher, the better.",
            "Only rewards of responses to the same prompt can be compared.", "",
            "The package `basereward` loads and scores it; Transformers alone does not know the reward head.", "",
            "```python", "import rm_core", "", 'scorer = rm_core.load("this/folder")', "```", "",
            "## Training", "", *_table("what", facts), "",
            "The last window of its training, on the data it was trained on:", "", *_table("metric", numbers), "",
            "`model.json` has the checksum of every file and the whole configuration; `reward_fixture.safetensors` has",
            "inputs and the rewards that the trained engine gave them.",
            "`python -m rm_core.model_folder.verify` compares.", "",
        ]
    )  # fmt: skip


def _shown(model: str) -> str:
    """The name of a local folder, which is a path of one machine; an address of a store as it is."""
    return name_of(model.rstrip("/")) if is_local(model) else model


def _table(name: str, rows: Mapping[str, str]) -> list[str]:
    return [f"| {name} | |", "| --- | --- |", *(f"| {key} | {value} |" for key, value in rows.items())]
