"""Reward models with random weights as a training would have left them: an export, and a logged model of a run."""

from pathlib import Path
from typing import Any

import torch

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.encoding.reading import Reading
from data_pipeline.encoding.tokenizer import load_tokenizer
from jobs.recipe.schema import TrackingConfig
from jobs.registry.pyfunc_model import log_trained_model
from jobs.tracking.tracker import Tracker
from rm_core.model.backbone import new_backbone
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import RewardModel
from rm_core.model.shape_config import backbone_config
from rm_core.model_folder.folder import save_reward_model


def write_export(
    folder: Path,
    shape: str,
    seed: int,
    tokenizer: Path,
    lineage: dict[str, Any] | None = None,
    reading: Reading | None = None,
) -> str:
    """A reward model of the given size with the tokenizer of `tokenizer`, as a complete folder.

    Without a `reading` it is as early versions exported models.
    """
    known = load_tokenizer(str(tokenizer))
    config = backbone_config(shape, vocab_size=known.vocab_size, special_ids=dict(known.special_ids))
    model = RewardModel(new_backbone(config, seed=seed, dtype=torch.float32), HeadConfig())
    model.head.initialise(seed)
    weights = model.state_dict().items()
    save_reward_model(
        str(folder), model.backbone, model.head_config, weights,
        processor_from=str(tokenizer), lineage=lineage or {}, reading=reading,
    )  # fmt: skip
    return str(folder)


def log_training(store: Path, folder: Path, shape: str, seed: int, tokenizer: Path, shards: Path) -> str:
    """An export in `folder` and an MLflow run that logged it, as `basereward train` does; returns the run's id."""
    tracker = Tracker(TrackingConfig(uri=f"sqlite:///{store}"), run_dir=str(folder), run_name=folder.name)
    manifest = Manifest.read(str(shards))
    lineage = {"mlflow_run_id": tracker.run_id, "recipe": folder.name, "data_fingerprint": manifest.fingerprint}
    export = write_export(folder / "export", shape, seed, tokenizer, lineage, manifest.reading)
    log_trained_model(tracker, export, name=folder.name, step=seed, manifest=manifest)
    tracker.finish()
    return tracker.run_id
