"""The only module that imports MLflow's registry: which model an address means, its files, versions, aliases.

    models:/NAME/3, models:/NAME@champion   a version of a registered model
    models:/MODEL_ID, runs:/RUN_ID          a logged model, by itself or as the newest output of its run

An alias may move, so what is kept of one is the version that it stands for.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # noqa: F401  # it sets what mlflow reads at its import

from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities import LoggedModel
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.file_utils import local_file_uri_to_path

from data_pipeline.errors import MissingInput, RunError
from data_pipeline.shown import masked
from data_pipeline.storage import is_local, private_folder
from jobs.recipe.addresses import STORE_KEY
from jobs.tracking.address import absolute_uri
from jobs.tracking.answers import check_answers
from jobs.tracking.run_writer import MAX_TAG_CHARS
from jobs.tracking.tracker import MODEL_VERSIONS_TAG

__all__ = ["CANDIDATE", "CHAMPION", "PREVIOUS", "ModelRegistry", "RegisteredVersion", "is_address"]

CHAMPION, CANDIDATE, PREVIOUS = "champion", "candidate", "previous"
_GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE", "NOT_FOUND")
_MODEL_ID = "model_id"  # a version's tag: MLflow 3.17 takes the id, and does not give it back
_LOGGED = re.compile(r"models:/(m-[0-9a-f]{32})")
_ALIAS = re.compile(r"models:/([^/@]+)@([^/@]+)")
_VERSION = re.compile(r"models:/([^/@]+)/(\d+)")
_RUN = re.compile(r"runs:/([0-9a-f]{32})")


@dataclass(frozen=True, kw_only=True)
class RegisteredVersion:
    """One model that MLflow knows."""

    address: str
    """Means this model for ever: ``models:/NAME/VERSION`` or ``models:/MODEL_ID``."""
    location: str
    """Where its files are."""
    model_id: str | None = None
    """Of the logged model."""
    run_id: str | None = None
    """The run that logged it."""
    name: str = ""
    """Of the registered model; "" for a logged model by itself."""
    version: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    created_s: float = 0.0
    """Seconds since 1970."""


def is_address(model: str) -> bool:
    """Whether `model` is for MLflow to look up, and not a folder."""
    return model.startswith(("models:/", "runs:/"))


class ModelRegistry:
    """Models of one MLflow store.

    Args:
        uri: the tracking store; None: the one this process is set to (``MLFLOW_TRACKING_URI``).
        key: what messages call it.

    Raises:
        RecipeError: `uri` names no store.
    """

    def __init__(self, uri: str | None, key: str = STORE_KEY) -> None:
        self._uri = None if uri is None else absolute_uri(uri, key)
        if self._uri is not None:
            check_answers(self._uri)
        self._client = MlflowClient(tracking_uri=self._uri, registry_uri=self._uri)

    def resolve(self, address: str) -> RegisteredVersion:
        """The model that `address` means.

        Raises:
            MissingInput: there is none, or the address has none of the known forms.
            RunError: the store can't be reached.
        """
        try:
            if match := _LOGGED.fullmatch(address):
                return _of_logged(self._client.get_logged_model(match[1]))
            if match := _ALIAS.fullmatch(address):
                return self._of_version(self._client.get_model_version_by_alias(match[1], match[2]))
            if match := _VERSION.fullmatch(address):
                return self._of_version(self._client.get_model_version(match[1], match[2]))
            if match := _RUN.fullmatch(address):
                return self._of_run(match[1])
        except MlflowException as error:
            said = str(error).splitlines()[0]
            if error.error_code in _GONE:
                raise MissingInput(f"{address} is not in {self._store}: {said}") from error
            raise RunError(f"{self._store}: {said}") from error
        raise MissingInput(
            f"{address!r} names no model: write models:/NAME/VERSION, models:/NAME@ALIAS, models:/MODEL_ID or "
            "runs:/RUN_ID"
        )

    def local_folder(self, model: RegisteredVersion, copies: str | None = None) -> str:
        """A local folder with the model's files: where they are, or a copy.

        Args:
            copies: the folder for copies of what is elsewhere; None, or one in an object store: a folder that this
                machine's processes share.

        Raises:
            MissingInput: the files are not there, or can't be fetched.
        """
        if model.location.startswith(("file:", "/")):
            folder = str(local_file_uri_to_path(model.location))
            if not os.path.isdir(folder):
                raise MissingInput(f"{model.address}: its files are not at {folder}")
            return folder
        parent = Path(_local_place(copies))
        parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy = parent / f"mlflow-{hashlib.sha256(model.location.encode()).hexdigest()[:32]}"
        if not copy.exists():
            with tempfile.TemporaryDirectory(dir=parent, prefix=f"{copy.name}.") as draft:
                fetched = self._fetch(model, draft)
                if not copy.exists():  # another process was first
                    os.rename(fetched, copy)
        return str(copy)

    def file_of_run(self, run_id: str, name: str, into: str) -> str | None:
        """A local copy of a run's artifact; None where the store has no such run or artifact.

        Args:
            into: the folder for it; one in an object store: one of this machine in its place.
        """
        try:
            folder = name.rpartition("/")[0]
            if all(entry.path != name for entry in self._client.list_artifacts(run_id, folder or None)):
                return None
            place = into if is_local(into) else os.path.join(_local_place(into), f"run-{run_id}")
            os.makedirs(place, exist_ok=True)
            return str(self._client.download_artifacts(run_id, name, place))
        except MlflowException as error:
            if error.error_code in _GONE:
                return None
            raise RunError(f"{self._store}: {str(error).splitlines()[0]}") from error

    def register(
        self, name: str, model: RegisteredVersion, *, tags: Mapping[str, str], description: str = ""
    ) -> RegisteredVersion:
        """Make a logged model the next version of registered model `name`; no file is copied.

        Raises:
            MissingInput: it is no logged model.
        """
        if model.model_id is None:
            raise MissingInput(f"{model.address} has no logged model: log one with MLflow, or train it again")
        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        # The files' own place, not models:/ID: MLflow 3.17 looks that up in the process's default store.
        made = self._client.create_model_version(
            name, source=model.location, run_id=model.run_id, model_id=model.model_id,
            tags={**tags, _MODEL_ID: model.model_id}, description=description,
        )  # fmt: skip
        linked = self._client.get_logged_model(model.model_id).tags.get(MODEL_VERSIONS_TAG, "[]")
        links = [*json.loads(linked), {"name": name, "version": made.version}]
        self._client.set_logged_model_tags(model.model_id, {MODEL_VERSIONS_TAG: json.dumps(links)})
        return self._of_version(made)

    def set_alias(self, model: RegisteredVersion, alias: str) -> None:
        """Let `alias` stand for this version; it moves from where it was."""
        self._client.set_registered_model_alias(model.name, alias, model.version)

    def set_tags(self, model: RegisteredVersion, tags: Mapping[str, str]) -> None:
        """Set tags of a version."""
        for key, value in tags.items():
            self._client.set_model_version_tag(model.name, model.version, key, value[:MAX_TAG_CHARS])

    def tag_versions_of(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of every registered version of a run's models."""
        for found in self._client.search_model_versions(f"run_id='{run_id}'"):
            self.set_tags(self._of_version(found), tags)

    def tags_of_run(self, run_id: str, prefix: str) -> dict[str, str]:
        """A run's tags that begin with `prefix`."""
        tags = self._client.get_run(run_id).data.tags
        return {key: value for key, value in tags.items() if key.startswith(prefix)}

    def remove_alias(self, model: RegisteredVersion, alias: str) -> None:
        """Let `alias` stand for nothing."""
        self._client.delete_registered_model_alias(model.name, alias)

    def note_on_run(self, run_id: str, tags: Mapping[str, str], name: str, text: str) -> None:
        """Set tags of a run, and write `text` to its artifact `name`."""
        for key, value in tags.items():
            self._client.set_tag(run_id, key, masked(value)[:MAX_TAG_CHARS])
        self._client.log_text(run_id, masked(text), name)

    def find(self, name: str, alias: str) -> RegisteredVersion | None:
        """The version that the alias stands for; None where there is no such model or alias."""
        return self.look_up(f"models:/{name}@{alias}")

    def look_up(self, address: str) -> RegisteredVersion | None:
        """As `resolve`; None where there is no such model."""
        try:
            return self.resolve(address)
        except MissingInput:
            return None

    def version_of(self, name: str, model: RegisteredVersion) -> RegisteredVersion | None:
        """The version of `name` that a logged model is, the newest if several; None where it is none."""
        found = self._client.search_model_versions(f"name='{name}'", order_by=["version_number DESC"])
        mine = [one for one in found if one.source == model.location]
        return self._of_version(self._client.get_model_version(name, mine[0].version)) if mine else None

    def versions(self) -> list[RegisteredVersion]:
        """All versions of all registered models, by name, the newest first."""
        try:
            found = self._client.search_model_versions(order_by=["name ASC", "version_number DESC"])
        except MlflowException as error:
            raise RunError(f"{self._store}: {str(error).splitlines()[0]}") from error
        return [self._of_version(self._client.get_model_version(one.name, one.version)) for one in found]

    @property
    def _store(self) -> str:
        return self._uri or "MLflow"

    def _of_run(self, run_id: str) -> RegisteredVersion:
        outputs = self._client.get_run(run_id).outputs
        if outputs is None or not outputs.model_outputs:
            raise MissingInput(f"runs:/{run_id} has no model: its training has not finished")
        newest = max(outputs.model_outputs, key=lambda output: output.step)
        return _of_logged(self._client.get_logged_model(newest.model_id))

    def _of_version(self, found: ModelVersion) -> RegisteredVersion:
        return RegisteredVersion(
            address=f"models:/{found.name}/{found.version}",
            location=self._client.get_model_version_download_uri(found.name, found.version),
            model_id=found.tags.get(_MODEL_ID),
            run_id=found.run_id,
            name=found.name,
            version=str(found.version),
            tags=dict(found.tags),
            aliases=tuple(found.aliases),
            created_s=found.creation_timestamp / 1000,
        )

    def _fetch(self, model: RegisteredVersion, folder: str) -> str:
        """Where the files lie, in `folder` or below it: MLflow keeps the last part of some addresses, not of others."""
        files = os.path.join(folder, "files")
        os.mkdir(files)
        try:
            return str(download_artifacts(artifact_uri=model.location, dst_path=files, tracking_uri=self._uri))
        except (MlflowException, OSError) as error:
            raise MissingInput(f"{model.address}: {model.location} can't be fetched: {error}") from error


def _local_place(copies: str | None) -> str:
    return copies if copies is not None and is_local(copies) else private_folder("models")


def _of_logged(found: LoggedModel) -> RegisteredVersion:
    return RegisteredVersion(
        address=f"models:/{found.model_id}",
        location=found.artifact_location,
        model_id=found.model_id,
        run_id=found.source_run_id,
        tags=dict(found.tags),
        created_s=found.creation_timestamp / 1000,
    )
