"""A reward model as a folder: what `save` writes, `load_reward_model` reads and scores the same with.

config.json, model*.safetensors        the backbone, readable by Transformers
reward_head.safetensors, .json         the head's weights and its HeadConfig
paradigm.json                          which kind of reward model it is; a scalar one has no such file
tokenizer.json, ..., preprocessor_config.json   copied from the folder that training started from
reading.json                           how records are read: those that the model was trained on
model.json                             written last: format version, files with sha256, lineage
"""

import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from data_pipeline.encoding.reading import Reading
from data_pipeline.errors import BaserewardError, CorruptData, MissingInput
from data_pipeline.storage import exists, join, read_bytes, sha256_of, to_checked_json, write_atomic
from rm_core.model.backbone import load_backbone
from rm_core.model.config import WRITERS, HeadConfig
from rm_core.model.families import family_of
from rm_core.model.reward_model import RewardModel
from rm_core.model_folder.given_heads import head_names
from rm_core.model_folder.language_head import read_language_head
from rm_core.model_folder.paradigm import paradigm_of, write_paradigm
from rm_core.model_folder.reading import write_reading
from rm_core.model_folder.remote import MARKER, local_model, read_marker
from rm_core.model_folder.weight_files import LANGUAGE_HEAD, write_backbone

__all__ = [
    "PROCESSOR_FILES",
    "files_of",
    "finish_folder",
    "has_head",
    "is_complete",
    "lineage_of",
    "load_reward_model",
    "marker_sha256",
    "model_type_of",
    "save_reward_model",
    "sees_images",
    "share_weights",
    "verify_folder",
]

FORMAT_VERSION = 2
"""1 had no checksum of ``model.json`` itself; such folders are still read."""
PROCESSOR_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "preprocessor_config.json",
    "vocab.json",
    "merges.txt",
)
_HEAD_WEIGHTS, _HEAD_CONFIG = "reward_head.safetensors", "reward_head.json"
_FILES_OF_MLFLOW = frozenset(
    ("MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "input_example.json",
     "serving_input_example.json", "registered_model_meta", "ensemble.json", "judged.parquet")
)  # fmt: skip
"""What a registered model has beside the export; nothing of it changes rewards."""


def save_reward_model(
    folder: str,
    backbone: PreTrainedModel,
    head_config: HeadConfig,
    weights: Iterable[tuple[str, Tensor]],
    *,
    processor_from: str,
    lineage: Mapping[str, Any],
    reading: Reading | None = None,
    paradigm: str = "scalar",
    question: str = "",
    form: str = "",
) -> None:
    """Write a complete reward-model folder.

    Args:
        backbone: gives the config; its own weights are not read (under ZeRO-3 they are shards).
        weights: the consolidated state of the `RewardModel`, names starting with ``backbone.`` or ``head.``, and
            ``lm_head.weight`` where it has one of its own; taken one after the other, and at most a file's worth of
            them held.
        processor_from: the folder whose tokenizer and processor files are copied.
        reading: how the model has learnt to read records; None: not known.
        paradigm: which kind of reward model it is.
        question: what a generative one is asked.
        form: what it writes, one of `GenerativeConfig.form`.
    """
    os.makedirs(folder, exist_ok=True)
    head: dict[str, Tensor] = {}
    write_backbone(folder, backbone, _without_head(weights, head))
    save_file(head, os.path.join(folder, _HEAD_WEIGHTS))
    write_atomic(os.path.join(folder, _HEAD_CONFIG), _json(asdict(head_config)))
    write_paradigm(folder, paradigm, question, form)
    for name in PROCESSOR_FILES:
        if os.path.exists(source := os.path.join(processor_from, name)):
            shutil.copyfile(source, os.path.join(folder, name))
    if reading is not None:
        write_reading(folder, reading, images=os.path.exists(os.path.join(folder, "preprocessor_config.json")))
    finish_folder(folder, lineage)


def _without_head(weights: Iterable[tuple[str, Tensor]], head: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """The backbone's weights; the head's are put into `head` on the way."""
    for name, value in weights:
        part, _, own_name = name.partition(".")
        if part == "head":
            head[own_name] = value.contiguous()
        else:
            yield name if name == LANGUAGE_HEAD else own_name, value


def finish_folder(folder: str, lineage: Mapping[str, Any]) -> None:
    """Write the marker that makes the folder complete: every file with its checksum."""
    share_weights(folder)
    names = [name for name in sorted(os.listdir(folder)) if name != MARKER and not name.startswith(".")]
    files = {name: sha256_of(os.path.join(folder, name)) for name in names}
    marker = {"format_version": FORMAT_VERSION, "files": files, "lineage": dict(lineage)}
    write_atomic(os.path.join(folder, MARKER), to_checked_json(marker))


def share_weights(folder: str) -> None:
    """Let whoever may enter the folder read its weights: safetensors writes files that nobody else may read."""
    mode = os.stat(folder).st_mode & 0o644
    for path in Path(folder).glob("*.safetensors"):
        with suppress(PermissionError):  # some shared disks know no modes
            path.chmod(mode)


def is_complete(folder: str) -> bool:
    """Whether `folder`, local or in an object store, was finished by us."""
    return exists(join(folder, MARKER))


def has_head(folder: str) -> bool:
    """Whether `folder` holds a trained reward head."""
    return os.path.isfile(os.path.join(folder, _HEAD_WEIGHTS))


def load_reward_model(folder: str, *, dtype: torch.dtype = torch.float32) -> RewardModel:
    """The exported reward model of `folder`, local or in an object store, in evaluation mode.

    Raises:
        MissingInput: no reward head there.
        CorruptData: a file differs from its checksum, or weights are missing or empty.
    """
    folder = local_model(folder)
    if not has_head(folder):
        raise MissingInput(f"{folder!r} holds no {_HEAD_WEIGHTS}: {_cure(folder)}")
    verify_folder(folder)
    with open(os.path.join(folder, _HEAD_CONFIG), encoding="utf8") as file:
        head_config = HeadConfig(**json.load(file))
    backbone = load_backbone(folder, dtype=dtype)
    paradigm = paradigm_of(folder)
    language_head = read_language_head(folder, backbone) if paradigm in WRITERS else None
    model = RewardModel(backbone, head_config, language_head, judges=paradigm == "generative")
    weights = load_file(os.path.join(folder, _HEAD_WEIGHTS))
    if missing := model.head.state_dict().keys() ^ weights.keys():
        raise CorruptData(f"{folder!r}: {_HEAD_WEIGHTS} and {_HEAD_CONFIG} do not belong together: {sorted(missing)}")
    model.head.load_state_dict(weights)
    empty = [name for name, tensor in model.state_dict().items() if tensor.numel() == 0]
    if empty:
        raise CorruptData(f"{folder!r} holds empty weights: {empty[:3]}")
    return model.eval()


def verify_folder(folder: str) -> dict[str, Any]:
    """Check every file against the marker's checksum; returns the lineage.

    A file that the marker does not list is refused as well: Transformers would read an adapter, another index of
    weights or a generation config that lies beside the model, and the rewards would change.

    Raises:
        MissingInput: there is no such folder, or it is no reward model.
        CorruptData: half an export, the marker is damaged, a file differs, or there is one too many.
    """
    marker = _marker(folder)
    for name, expected in marker["files"].items():
        path = os.path.join(folder, name)
        if not os.path.isfile(path) or sha256_of(path) != expected:
            raise CorruptData(f"{path!r} is missing or differs from the checksum in {MARKER}")
    known = {*marker["files"], MARKER, *_FILES_OF_MLFLOW}
    if more := [name for name in sorted(os.listdir(folder)) if name not in known and not name.startswith(".")]:
        raise CorruptData(
            f"{folder!r} has files that its {MARKER} does not list: {', '.join(more[:5])}; they may change what it "
            "computes: move them elsewhere"
        )
    lineage: dict[str, Any] = marker["lineage"]
    return lineage


def marker_sha256(folder: str) -> str:
    """sha256 of the marker of a local folder: names the model, since the marker lists every file's checksum.

    Raises:
        MissingInput, CorruptData: it has none, as for `verify_folder`.
    """
    _marker(folder)
    return sha256_of(os.path.join(folder, MARKER))


def lineage_of(folder: str) -> dict[str, Any]:
    """What the model in `folder`, local or in an object store, says of its origin; its files are not read.

    Raises:
        MissingInput, CorruptData: it has no marker, or a damaged one.
    """
    lineage: dict[str, Any] = _marker(folder)["lineage"]
    return lineage


def files_of(folder: str) -> list[str]:
    """Names of the files that belong to the model in a local folder, the marker aside; others may lie beside them.

    Raises:
        CorruptData: it has no marker.
    """
    return sorted(_marker(folder)["files"])


def sees_images(folder: str) -> bool:
    """Whether the backbone of a local folder has a vision tower.

    Raises:
        MissingInput: the folder has no ``config.json``.
    """
    return family_of(model_type_of(folder)).has_vision


def model_type_of(folder: str) -> str:
    """What Transformers calls the backbone's architecture, such as ``qwen2_5_vl``.

    Raises:
        MissingInput: the folder has no ``config.json``.
    """
    path = os.path.join(folder, "config.json")
    if not os.path.isfile(path):
        raise MissingInput(f"{folder!r} has no config.json: name the folder that training exported")
    with open(path, encoding="utf8") as file:
        return str(json.load(file)["model_type"])


def _marker(folder: str) -> dict[str, Any]:
    if not is_complete(folder):
        raise _no_model(folder)
    return read_marker(read_bytes(join(folder, MARKER)), join(folder, MARKER))


def _no_model(folder: str) -> BaserewardError:
    """Why a local folder without a marker is no model: nothing there, another folder, or half an export."""
    cure = _cure(folder)
    if not os.path.exists(folder):
        return MissingInput(f"{folder!r}: no such folder; {cure}")
    if not os.path.isdir(folder):
        return MissingInput(f"{folder!r} is a file, no folder; {cure}")
    for inside in ("export", os.path.join("train", "export")):
        if is_complete(os.path.join(folder, inside)):
            return MissingInput(f"{folder!r} is no model, it holds one: name {os.path.join(folder, inside)!r}")
    if not has_head(folder):
        return MissingInput(f"{folder!r} holds no reward model, no {_HEAD_WEIGHTS} and no {MARKER}; {cure}")
    return CorruptData(f"{folder!r} has no {MARKER}: its export was cut off; export it again")


def _cure(folder: str) -> str:
    """What to name in place of a local folder without a head of ours."""
    if os.path.isdir(folder) and head_names(folder):
        return (
            "it is a reward model of another program, or one that was exported for others: make it ours with "
            f"`basereward import-model RECIPE import_model.source={folder}`, and name what that wrote"
        )
    return "name the folder that training exported, such as runs/NAME/train/export"


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True) + "\n").encode("utf8")
