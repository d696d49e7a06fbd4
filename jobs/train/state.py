"""An output folder belongs to one training: the settings that shape its result are written there first."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from data_pipeline.errors import RecipeError
from data_pipeline.storage import escaped, exists, join, list_files, read_json, write_atomic
from jobs.runtime.terminal import say
from jobs.tracking.metric_logger import NODES_FOLDER, WAITING_FILE
from jobs.tracking.tracker import STATE_FILE
from rm_core.checkpoints.layout import MARKER as COMPLETE
from rm_core.model_folder.folder import is_complete
from rm_core.model_folder.identity import weights_identity
from rm_core.train_config.config import TrainConfig

__all__ = ["claim_folder", "claim_output", "flat", "is_logged"]

IDENTITY_FILE = "training.json"
_BASE = "base_model_sha256"
"""Which weights it started from, wherever they lie; `model` is only a place."""

# What may change between two attempts at one training: where and how it runs. The Comparisons of every step stay the
# same; another number of workers, stage or budget rounds sums in another order.
_FREE = {"output", "model", "data", "log_every", "keep_checkpoints", "checkpoint_every", "group", "prefetch"}
_FREE |= {"loader_workers", "cache_dir", "cache_bytes", "stall_timeout_s", "num_workers", "threads_per_worker"}
_FREE |= {"keep_best_checkpoints", "keep_checkpoint_every", "checkpoint_retry_s", "read_retry_s", "stop_grace_s"}
_FREE |= {"evaluate_every", "evaluate_suites", "early_stopping", "export_weights"}
_FREE |= {
    "health",
    "profile",
    "engine",
    "zero",
    "activation_checkpointing",
    "attention",
    "token_budget",
    "patch_budget",
}
_FREE |= {"compile", "language_loss"}


def claim_output(config: TrainConfig, data_fingerprint: str) -> None:
    """Write the identity of the training into `config.output`, or compare it with the one that is there.

    A start that failed before its first checkpoint has left nothing to go on from, so it does not hold the folder:
    another training takes it, with an MLflow run of its own. What its attempts cost stays counted.

    Raises:
        RecipeError: the folder holds a training with other settings, data or base model; names the first difference.
    """
    url = join(config.output, IDENTITY_FILE)
    identity = flat({"data_fingerprint": data_fingerprint, _BASE: weights_identity(config.model), **_shaping(config)})
    # What an early version did not know it did as the default says.
    earlier = flat(_shaping(TrainConfig())) | read_json(url, dict) if exists(url) else None
    if earlier is not None and _BASE not in earlier:
        say(f"{config.output} does not say which weights it started from (an early version wrote it): not compared")
        identity.pop(_BASE)
    claim_folder(config.output, IDENTITY_FILE, identity, earlier, what="training", key="train.output")


def claim_folder(
    output: str, file: str, identity: Mapping[str, Any], earlier: Mapping[str, Any] | None, *, what: str, key: str
) -> None:
    """Write an identity into `output`, or compare it with the one that is there.

    Args:
        file: its name there.
        earlier: what is there; None: nothing.
        what: what messages call it.
        key: of `output`.

    Raises:
        RecipeError: something with another identity has trained there; names the first difference.
    """
    known = identity if earlier is None else earlier
    different = [one for one in sorted(identity.keys() | known.keys()) if identity.get(one) != known.get(one)]
    if different and has_trained(output):
        first = different[0]
        raise RecipeError(
            f"{output} holds another {what} ({first} was {known.get(first)!r}, now {identity.get(first)!r}): "
            f"choose another {key}, or train with the value that was"
        )
    if different:
        say(f"{output}: a start with another {different[0]} ended before its first checkpoint; begun anew")
        begin_anew(output)
    if different or earlier is None:
        write_atomic(join(output, file), (json.dumps(identity, indent=2, sort_keys=True) + "\n").encode())


def has_trained(output: str) -> bool:
    """Whether there is a checkpoint, damaged or not, or an exported model in the training's folder."""
    checkpoints = list_files(join(escaped(output), "*checkpoints", "step-*", COMPLETE))
    return bool(checkpoints) or is_complete(join(output, "export"))


def begin_anew(output: str) -> None:
    """Forget the MLflow run of a start that came to nothing, and the points that wait for it."""
    for name, empty in ((STATE_FILE, b"{}"), (WAITING_FILE, b"[]")):
        if exists(join(output, name)):
            write_atomic(join(output, name), empty)
    for url in list_files(join(escaped(output), NODES_FOLDER, "*", WAITING_FILE)):
        write_atomic(url, b"[]")


def is_logged(output: str) -> bool:
    """Whether the training in `output` has handed its model to MLflow, which is the last thing it does."""
    url = join(output, STATE_FILE)
    return exists(url) and any(key.startswith("mlflow_model_") for key in read_json(url, dict))


def _shaping(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in _FREE}


def flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """``{"a": {"b": 1}}`` as ``{"a.b": 1}``."""
    found: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        found.update(flat(item, f"{name}.") if isinstance(item, dict) else {name: item})
    return found
