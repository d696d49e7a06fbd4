"""`basereward models list|register`: the registry in the terminal; each function returns the exit code."""

import os
from datetime import datetime

from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute
from jobs.registry.registry import ModelRegistry, is_address
from jobs.runtime.terminal import columns, say
from jobs.tracking.run_writer import SUITE_TAG
from rm_core.model_folder.folder import verify_folder
from rm_core.model_folder.remote import local_model
from rm_core.serving.served_model import SERVED_FILE

__all__ = ["list_versions", "register"]


def list_versions(*, tracking_uri: str | None) -> int:
    """Print every version of every registered model."""
    registry, uri = _registry(tracking_uri)
    rows = [
        [
            one.address,
            ", ".join(one.aliases),
            one.tags.get("kind", ""),
            one.tags.get("accuracy", ""),
            one.tags.get("gate", ""),
            f"{datetime.fromtimestamp(one.created_s).astimezone():%Y-%m-%d %H:%M}",
        ]
        for one in registry.versions()
    ]
    columns(f"Models in {uri}", ("model", "aliases", "kind", "accuracy", "gate", "made"), rows)
    return 0


def register(model: str, name: str, *, tracking_uri: str | None) -> int:
    """Make one trained model the next version of `name`; its files stay where its run logged them."""
    registry, _ = _registry(tracking_uri)
    logged = registry.resolve(model if is_address(model) else f"runs:/{_run_of(model)}")
    folder = registry.local_folder(logged)
    tags = {"kind": "model"} | {key: value for key, value in _lineage(folder).items() if value}
    if logged.run_id is not None:
        tags |= registry.tags_of_run(logged.run_id, SUITE_TAG)
    version = registry.register(name, logged, tags=tags)
    say(f"{version.address}: {model}")
    if not os.path.isfile(os.path.join(folder, SERVED_FILE)):
        say(f"it was logged without {SERVED_FILE}: a member of ensembles, which mlflow.pyfunc can't load by itself")
    return 0


def _run_of(folder: str) -> str:
    """The run that logged the export in `folder`."""
    run_id = verify_folder(local_model(absolute(folder))).get("mlflow_run_id")
    if not run_id:
        raise RecipeError(f"{folder} names no MLflow run that it came from: name runs:/RUN_ID or models:/MODEL_ID")
    return str(run_id)


def _lineage(folder: str) -> dict[str, str]:
    said = verify_folder(folder)
    return {key: str(said.get(key, "")) for key in ("recipe", "data_fingerprint")}


def _registry(tracking_uri: str | None) -> tuple[ModelRegistry, str]:
    """The registry, and its address as it was given."""
    if tracking_uri is not None:
        return ModelRegistry(tracking_uri), tracking_uri
    if uri := os.environ.get("MLFLOW_TRACKING_URI"):
        return ModelRegistry(uri, "MLFLOW_TRACKING_URI"), uri
    raise RecipeError("which MLflow? add tracking.uri=sqlite:///runs/demo/mlflow.db, or set MLFLOW_TRACKING_URI")
