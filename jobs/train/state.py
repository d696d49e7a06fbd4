"""An output folder belongs to one training: the settings that shape its result are written there first."""

import json
import os
from dataclasses import asdict
from typing import Any

from data_pipeline.errors import RecipeError
from data_pipeline.storage import exists, read_bytes, write_atomic
from rm_core.train_config.config import TrainConfig

__all__ = ["claim_output", "is_logged"]

# What may change between two attempts at one training: where and how it runs. The Comparisons of every step stay the
# same; another number of workers, stage or budget rounds sums in another order.
_FREE = {"output", "model", "data", "log_every", "keep_checkpoints", "checkpoint_every", "group", "prefetch"}
_FREE |= {"loader_workers", "cache_dir", "cache_bytes", "stall_timeout_s", "num_workers", "threads_per_worker"}
_FREE |= {"keep_best_checkpoints", "keep_checkpoint_every", "checkpoint_retry_s", "read_retry_s", "stop_grace_s"}
_FREE |= {"health", "profile", "zero", "activation_checkpointing", "attention", "token_budget", "patch_budget"}


def claim_output(config: TrainConfig, data_fingerprint: str) -> None:
    """Write the identity of the training into `config.output`, or compare it with the one that is there.

    Raises:
        RecipeError: the folder holds a training with other settings or data; names the first difference.
    """
    url = os.path.join(config.output, "training.json")
    identity = _flat({"data_fingerprint": data_fingerprint, **_shaping(config)})
    if not exists(url):
        write_atomic(url, (json.dumps(identity, indent=2, sort_keys=True) + "\n").encode())
        return
    earlier = json.loads(read_bytes(url))
    for key in sorted(identity.keys() | earlier.keys()):
        if identity.get(key) != earlier.get(key):
            raise RecipeError(
                f"{config.output} holds another training ({key} was {earlier.get(key)!r}, now {identity.get(key)!r}): "
                "choose another train.output"
            )


def is_logged(config: TrainConfig) -> bool:
    """Whether the training in `config.output` has handed its model to MLflow, which is the last thing it does."""
    url = os.path.join(config.output, "job_state.json")
    return exists(url) and any(key.startswith("mlflow_model_") for key in json.loads(read_bytes(url)))


def _shaping(config: TrainConfig) -> dict[str, Any]:
    return {key: value for key, value in asdict(config).items() if key not in _FREE}


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = f"{prefix}{key}"
        flat.update(_flat(item, f"{name}.") if isinstance(item, dict) else {name: item})
    return flat
