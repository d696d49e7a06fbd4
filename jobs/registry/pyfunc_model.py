"""A registered model as MLflow loads it: ``mlflow.pyfunc.load_model("models:/NAME@champion").predict(table)``.

    add_served_files   ensemble.json, MLmodel, signature and example, put beside a model's files before they are logged
    _load_pyfunc       what MLflow calls in the loading process: members are looked up, checked and loaded

Nothing is pickled: MLflow finds this module by its name, so the loading process needs this package installed. Members
are looked up in the store that the loading process is set to (``MLFLOW_TRACKING_URI`` or `mlflow.set_tracking_uri`).
"""

import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pandas as pd

from jobs.registry.registry import ModelRegistry, is_address  # isort: skip  # first: it sets what mlflow reads at its import

import mlflow.pyfunc
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE
from mlflow.types.schema import AnyType, Array, ColSpec, DataType, Schema

from data_pipeline import __version__
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.encoding.reading import Reading
from data_pipeline.errors import BaserewardError, CorruptData, MissingInput, UserError
from data_pipeline.storage import write_atomic
from jobs.tracking.tracker import Tracker
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.model_folder.folder import marker_sha256, sees_images, verify_folder
from rm_core.model_folder.paradigm import paradigm_of
from rm_core.model_folder.reading import reading_to_use
from rm_core.model_folder.remote import local_model
from rm_core.scoring.choose import verdicts_read
from rm_core.scoring.table_rows import COLUMNS
from rm_core.serving.served_model import HERE, SERVED_FILE, ServedMember, ServedModel
from rm_core.serving.served_scorer import ServedScorer

__all__ = ["ServedPyfunc", "add_served_files", "log_trained_model", "member_folders", "one_model", "read_served"]

_MEDIA_ROOT = "media_root"
_LOG_AGAIN = "name the data that it was trained on"
_FIT_AGAIN = "run `basereward ensemble` again"
_TOKEN_BUDGET, _PATCH_BUDGET = 16_384, 65_536  # room for the longest that training keeps, and its images
# Types are checked here and not by MLflow, so that the message has the row's number.
_SIGNATURE = ModelSignature(
    inputs=Schema(
        [
            ColSpec(DataType.string, "prompt"),
            ColSpec(AnyType(), "responses"),
            ColSpec(AnyType(), "images", required=False),
            ColSpec(AnyType(), "critiques", required=False),
        ]
    ),
    outputs=Schema(
        [
            ColSpec(Array(DataType.double), "rewards"),
            ColSpec(Array(DataType.double), "spread"),
            ColSpec(DataType.double, "probability"),
            ColSpec(AnyType(), "critiques"),
            ColSpec(DataType.long, "critique_tokens"),
            ColSpec(AnyType(), "verdicts"),
            ColSpec(DataType.long, "verdict_tokens"),
            ColSpec(DataType.long, "verdicts_unread"),
        ]
    ),
)
_EXAMPLE = {"prompt": ["What colour is the bus in the story?"], "responses": [["Red.", "It is a bus."]]}


def add_served_files(folder: str, served: ServedModel) -> None:
    """Put into `folder` what makes it a model for `mlflow.pyfunc`; what lies there stays."""
    os.makedirs(folder, exist_ok=True)
    text = json.dumps(served.to_json(), indent=2, sort_keys=True, ensure_ascii=False)
    write_atomic(os.path.join(folder, SERVED_FILE), f"{text}\n".encode())
    with tempfile.TemporaryDirectory() as parent, _quiet("mlflow.pyfunc"):
        draft = os.path.join(parent, "model")
        mlflow.pyfunc.save_model(
            draft,
            loader_module="jobs.registry.pyfunc_model",
            signature=_SIGNATURE,
            input_example=pd.DataFrame(_EXAMPLE),
            pip_requirements=[f"basereward=={__version__}"],
            model_config={_MEDIA_ROOT: HERE},
        )
        for name in os.listdir(draft):
            shutil.copyfile(os.path.join(draft, name), os.path.join(folder, name))


@contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Without a logger's lines about what goes well."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)


def one_model(
    name: str,
    folder: str,
    reading: Reading,
    critiques: CritiquesConfig | None = None,
    verdicts: VerdictsConfig | None = None,
) -> ServedModel:
    """A trained model by itself, whose rewards are given as they are.

    Args:
        folder: the export, a local one.
        reading: of the data that it was trained on.
        critiques: where a critic's come from; None: it writes one of each answer. Other models have none.
        verdicts: what a judge is asked, and how one that reasons writes; None: the default. Other models have none.

    Raises:
        RecipeError: the export itself says otherwise.
    """
    reading = reading_to_use(
        folder, f"the export of {name!r}", reading, other_name="the data that it is logged with", cure=_LOG_AGAIN,
        report=logging.getLogger(__name__).warning,
    )  # fmt: skip
    lineage = {key: value for key, value in verify_folder(folder).items() if isinstance(value, str)}
    member = ServedMember(
        name=name, model=HERE, sha256=marker_sha256(folder), text_only=not sees_images(folder),
        reading=reading, lineage=lineage,
        critiques=(critiques or CritiquesConfig(source="written")) if paradigm_of(folder) == "critic" else None,
        verdicts=verdicts_read(folder, verdicts or VerdictsConfig()),
    )  # fmt: skip
    return ServedModel(members=(member,), ensemble=None, token_budget=_TOKEN_BUDGET, patch_budget=_PATCH_BUDGET)


def log_trained_model(
    tracker: Tracker,
    export: str,
    *,
    name: str,
    step: int,
    manifest: Manifest,
    critiques: CritiquesConfig | None = None,
    verdicts: VerdictsConfig | None = None,
) -> str:
    """Log an export of `basereward train` as a model that `mlflow.pyfunc` loads; returns the logged model's id.

    Args:
        export: the folder, local or s3://.
        manifest: of the data that it was trained on.
        critiques, verdicts: as for `one_model`.
    """
    folder = local_model(export)
    with tempfile.TemporaryDirectory() as beside:
        add_served_files(beside, one_model(name, folder, manifest.reading, critiques, verdicts))
        return tracker.log_model(folder, name=name, step=step, beside=beside)


def read_served(folder: str) -> ServedModel:
    """What ``ensemble.json`` in a local folder says.

    Raises:
        MissingInput: it is not there.
        CorruptData: it is something else.
    """
    path = os.path.join(folder, SERVED_FILE)
    if not os.path.isfile(path):
        raise MissingInput(f"{folder} holds no {SERVED_FILE}: it is no model that basereward has logged")
    with open(path, encoding="utf8") as file:
        return ServedModel.from_json(json.load(file), path)


def member_folders(served: ServedModel, folder: str, registry: ModelRegistry | None) -> dict[str, str]:
    """Member's name -> a local folder with its model, every file of which has its checksum.

    Args:
        folder: the one that holds ``ensemble.json``.
        registry: where addresses are looked up; None: in the store that this process is set to.

    Raises:
        MissingInput: a member's version or files are gone; the message has its name.
        CorruptData: it is another model than the one that was fitted.
    """
    return {member.name: _folder_of(member, folder, registry) for member in served.members}


def _folder_of(member: ServedMember, folder: str, registry: ModelRegistry | None) -> str:
    try:
        if member.model == HERE:
            found = folder
        elif is_address(member.model):
            registry = registry or ModelRegistry(None)
            found = registry.local_folder(registry.resolve(member.model))
        else:
            found = local_model(member.model)
        verify_folder(found)
        sha256 = marker_sha256(found)
    except CorruptData as error:
        raise CorruptData(f"member {member.name!r} ({member.model}): {error}") from error
    except MissingInput as error:
        raise MissingInput(f"member {member.name!r} ({member.model}) is missing: {error}") from error
    if sha256 != member.sha256:
        raise CorruptData(
            f"member {member.name!r} ({member.model}) is another model now: its model.json has sha256 {sha256[:12]}, "
            f"the one that was fitted had {member.sha256[:12]}; run `basereward ensemble` again"
        )
    reading_to_use(
        found, f"member {member.name!r} ({member.model})", member.reading, other_name=SERVED_FILE, cure=_FIT_AGAIN,
        report=logging.getLogger(__name__).info,
    )  # fmt: skip
    return found


class ServedPyfunc:
    """What `mlflow.pyfunc` wraps."""

    def __init__(self, scorer: ServedScorer) -> None:
        self._scorer = scorer

    def predict(self, table: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:  # noqa: ARG002
        """Scores of every row: ``rewards`` and ``spread`` a response, ``probability``, and what was written.

        Args:
            table: columns ``prompt``, ``responses`` and perhaps ``images`` and ``critiques``, as
                `rm_core.scoring.table_rows` says.
            params: MLflow passes them; there are none.

        Returns:
            A table with the same index. ``probability`` is P(the first response is the better one) for two responses.

        Raises:
            MlflowException: some rows can't be scored; says which, from 0, and why.
        """
        columns = [name for name in COLUMNS if name in table]
        rows = [
            dict(zip(columns, values, strict=True)) for values in zip(*(table[name] for name in columns), strict=True)
        ]
        try:
            scores = self._scorer.score(rows)
        except UserError as error:
            raise MlflowException(str(error), INVALID_PARAMETER_VALUE) from error
        return pd.DataFrame(
            {
                "rewards": [list(one.rewards) for one in scores],
                "spread": [list(one.spread) for one in scores],
                "probability": pd.Series([one.probability for one in scores], dtype="float64", index=table.index),
                "critiques": [[list(texts) for texts in one.critiques] for one in scores],
                "critique_tokens": [one.critique_tokens for one in scores],
                "verdicts": [[question.fields() for question in one.verdicts] for one in scores],
                "verdict_tokens": [one.verdict_tokens for one in scores],
                "verdicts_unread": [one.verdicts_unread for one in scores],
            },
            index=table.index,
        )


def _load_pyfunc(data_path: str, model_config: Mapping[str, Any] | None = None) -> ServedPyfunc:
    """What MLflow calls; `model_config` may hold ``media_root``, the folder that image paths may not leave.

    Raises:
        MlflowException: a member is missing or damaged; says which.
    """
    served = read_served(data_path)
    media_root = os.path.abspath((model_config or {}).get(_MEDIA_ROOT) or HERE)
    try:
        folders = member_folders(served, data_path, None)
        return ServedPyfunc(ServedScorer(served, folders, media_root))
    except BaserewardError as error:
        raise MlflowException(str(error)) from error
