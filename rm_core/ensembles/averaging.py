"""Weights of members of one shape -> one model with their average: an ensemble at the price of one.

Source: M. Wortsman et al., "Model soups", arXiv 2203.05482; for reward models A. Ramé et al., "WARM", arXiv 2401.12187.
Members have to have started from the same pretrained weights: between others there is nothing.
"""

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from data_pipeline.errors import RecipeError
from data_pipeline.storage import sha256_of
from rm_core.model_folder.folder import files_of, finish_folder, verify_folder
from rm_core.model_folder.remote import local_model

__all__ = ["average_weights"]

_OWN = ("README.md",)
"""Files beside the weights that each export has of its own."""


def average_weights(models: Sequence[str], shares: Sequence[float], output: str, *, lineage: Mapping[str, Any]) -> None:
    """Write the weighted average of reward models as a complete reward-model folder.

    One file of the first model is held at a time. Sums are float32; the result has the members' types.

    Args:
        models: exported reward models, local or in an object store; two at least.
        shares: of each, scaled to sum to 1.
        output: a local folder.
        lineage: what the folder says of its origin, besides its members.

    Raises:
        CorruptData, MissingInput: a member is not complete.
        RecipeError: members differ in shape, tokenizer or head, or a share is not above 0.
    """
    if len(models) < 2 or len(models) != len(shares) or min(shares) <= 0:
        raise RecipeError(f"an average needs two models or more and a share above 0 for each, not {list(shares)}")
    folders = [Path(local_model(model)) for model in models]
    origins = [verify_folder(str(folder)) for folder in folders]
    files = [_contents(folder) for folder in folders]
    for model, content in zip(models[1:], files[1:], strict=True):
        _check_same(models[0], files[0], model, content)
    os.makedirs(output, exist_ok=True)
    scaled = [share / sum(shares) for share in shares]
    for name in files[0]:
        shutil.copyfile(folders[0] / name, Path(output, name))
    with ExitStack() as stack:
        readers = [_Weights(folder, stack) for folder in folders]
        for file, names in readers[0].names_by_file.items():
            mean = {name: _mean(name, readers, scaled, models) for name in names}
            save_file(mean, os.path.join(output, file), metadata={"format": "pt"})
    if index := sorted(folders[0].glob("*.safetensors.index.json")):
        shutil.copyfile(index[0], Path(output, index[0].name))
    members = [
        {"model": model, "share": share, "lineage": origin}
        for model, share, origin in zip(models, scaled, origins, strict=True)
    ]
    finish_folder(output, dict(lineage) | {"average_of": members})


class _Weights:
    """All tensors of a model by name, whatever file they are in."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.names_by_file: dict[str, list[str]] = {}
        self._readers: dict[str, Any] = {}
        for path in sorted(folder.glob("*.safetensors")):
            reader = stack.enter_context(safe_open(path, framework="pt"))
            self.names_by_file[path.name] = list(reader.keys())
            self._readers |= dict.fromkeys(reader.keys(), reader)

    def __getitem__(self, name: str) -> Tensor | None:
        reader = self._readers.get(name)
        return None if reader is None else reader.get_tensor(name)

    def __len__(self) -> int:
        return len(self._readers)


def _mean(name: str, readers: Sequence[_Weights], shares: Sequence[float], models: Sequence[str]) -> Tensor:
    """The average of one tensor."""
    first = readers[0][name]
    assert first is not None, "its own file named it"
    total = torch.zeros(first.shape, dtype=torch.float32)
    for reader, share, model in zip(readers, shares, models, strict=True):
        value = reader[name]
        if value is None or value.shape != first.shape or len(reader) != len(readers[0]):
            found = "is missing" if value is None else f"has shape {list(value.shape)} of {len(reader)} tensors"
            raise RecipeError(
                f"{model!r} cannot be averaged with {models[0]!r}: {name} {found}, there it has shape "
                f"{list(first.shape)} of {len(readers[0])}"
            )
        total.add_(value.float(), alpha=share)
    return total.to(first.dtype)


def _contents(folder: Path) -> dict[str, str]:
    """Files beside the weights that decide what a model means -> what they say."""
    return {
        name: json.dumps(_config_of(folder / name), sort_keys=True)
        if name == "config.json"
        else sha256_of(str(folder / name))
        for name in files_of(str(folder))
        if name not in _OWN and ".safetensors" not in name
    }


def _config_of(path: Path) -> dict[str, Any]:
    """A backbone's config without what tells nothing of its shape."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf8"))
    return {name: value for name, value in content.items() if name not in ("_name_or_path", "transformers_version")}


def _check_same(model: str, content: Mapping[str, str], other: str, other_content: Mapping[str, str]) -> None:
    names = sorted(content.keys() | other_content.keys())
    if differ := [name for name in names if content.get(name) != other_content.get(name)]:
        raise RecipeError(
            f"{other!r} cannot be averaged with {model!r}: {', '.join(differ)} differ; only models of one shape, "
            "tokenizer and head have an average"
        )
