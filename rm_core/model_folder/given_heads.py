"""Reward heads of other programs: found in a folder by the names of their tensors, read exactly, or refused by name.

    v_head.summary.weight, .bias               one linear layer: TRL's value heads, so Skywork-VL-Reward (in
                                               ``value_head.safetensors``) and LLaMA-Factory
    score.weight [, .bias]                     one linear layer: sequence classification, so TRL's and ms-swift's
    score.dense.*, score.out_proj.*            two layers with tanh between them: R1-Reward's and MM-RLHF's
    score.layers.*                             our own exports; what stands between them says ``config.json``

The last layer of these may have a bias, which ours does not learn: it is kept (`HeadConfig.output_bias`).
"""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

from data_pipeline.errors import CorruptData, RecipeError
from rm_core.model.config import HeadConfig
from rm_core.model.exported_config import head_config_of

__all__ = ["HEAD_PREFIXES", "GivenHead", "check_no_given_head", "given_head", "head_names", "head_of_tensors"]

_VALUE_HEAD = "value_head"
HEAD_PREFIXES = ("score.", "v_head.", "value_head.", "reward_head.", "rm_head.", "classifier.")
"""How tensors of heads begin; of a backbone none does."""
_OWN = "score.layers."
_LINEAR = {"weight": "layers.0.weight", "bias": "layers.0.bias"}
_TWO_LAYERS = {
    "dense.weight": "layers.0.weight",
    "dense.bias": "layers.0.bias",
    "out_proj.weight": "layers.2.weight",
    "out_proj.bias": "layers.2.bias",
}
_LAYOUTS: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("v_head.summary.", _LINEAR),
    ("score.", _LINEAR),
    ("score.", _TWO_LAYERS),
)


@dataclass(frozen=True)
class GivenHead:
    """A head that another program trained.

    Attributes:
        config: the same head as one of ours.
        weights: by the names of `RewardHead`.
    """

    config: HeadConfig
    weights: dict[str, Tensor]


def head_names(folder: str) -> dict[str, str]:
    """Name of each tensor of a head in the local `folder` -> the file that holds it; of an export of ours none.

    Raises:
        CorruptData: a file is no safetensors file.
        RecipeError: the head is a pickle, which could run code.
    """
    if os.path.isfile(pickled := os.path.join(folder, f"{_VALUE_HEAD}.bin")):
        raise RecipeError(
            f"{pickled!r} is a pickle, which could run code: save its tensors as {_VALUE_HEAD}.safetensors"
        )
    found: dict[str, str] = {}
    for file in _weight_files(folder):
        try:
            with safe_open(os.path.join(folder, file), framework="pt") as tensors:
                names = list(tensors.keys())
        except (SafetensorError, OSError) as error:
            raise CorruptData(f"{os.path.join(folder, file)!r} is damaged ({error}): copy it again") from error
        found |= {name: file for name in names if name.startswith(HEAD_PREFIXES)}
    return found


def given_head(folder: str) -> GivenHead | None:
    """The head in the local `folder`; None where there is none.

    Raises:
        RecipeError: it has a tensor that none of the known heads has, or lacks one; names it.
        CorruptData: as `head_names`; a shape that does not fit.
    """
    files = head_names(folder)
    if not files:
        return None
    tensors = {name: _tensor(folder, file, name) for name, file in files.items()}
    if all(name.startswith(_OWN) for name in files):
        weights = {name.removeprefix("score."): tensor for name, tensor in tensors.items()}
        return GivenHead(head_config_of(SimpleNamespace(**_config(folder))), weights)
    return head_of_tensors(tensors, folder)


def head_of_tensors(tensors: Mapping[str, Tensor], folder: str) -> GivenHead:
    """The head that tensors of these names are; `folder` is for messages.

    Raises:
        RecipeError, CorruptData: as `given_head`.
    """
    for prefix, names in _LAYOUTS:
        own = {f"{prefix}{theirs}": ours for theirs, ours in names.items()}
        needed = {name for name in own if name.endswith("weight")}
        if needed <= tensors.keys() <= own.keys():
            return _head_of({own[name]: tensor for name, tensor in tensors.items()}, folder)
    raise RecipeError(
        f"{folder!r} holds a head that is not known: {', '.join(sorted(tensors))}; known are v_head.summary (TRL, "
        "Skywork-VL-Reward), score (TRL, ms-swift), score.dense with score.out_proj (R1-Reward, MM-RLHF), and "
        "score.layers (our exports)"
    )


def _config(folder: str) -> Any:
    with open(os.path.join(folder, "config.json"), encoding="utf8") as file:
        return json.load(file)


def check_no_given_head(folder: str) -> None:
    """Refuse to start from a folder whose head would be replaced by a new one.

    Raises:
        RecipeError: it holds another program's head; CorruptData as `head_names`.
    """
    if names := head_names(folder):
        raise RecipeError(
            f"{folder!r} holds a reward head ({sorted(names)[0]}), which a new one would replace: make it a model of "
            f"ours with `basereward import-model RECIPE import_model.source={folder}`, and name what that wrote"
        )


def _weight_files(folder: str) -> list[str]:
    """The files of weights that Transformers reads there, and that of a value head beside them."""
    names = [f"{_VALUE_HEAD}.safetensors"]
    index = os.path.join(folder, SAFE_WEIGHTS_INDEX_NAME)
    if os.path.isfile(index):
        try:
            with open(index, encoding="utf8") as file:
                names += sorted(set(json.load(file)["weight_map"].values()))
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise CorruptData(f"{index!r} is damaged ({error}): copy it again") from error
    else:
        names.append(SAFE_WEIGHTS_NAME)
    return [name for name in names if os.path.isfile(os.path.join(folder, name))]


def _tensor(folder: str, file: str, name: str) -> Tensor:
    with safe_open(os.path.join(folder, file), framework="pt") as tensors:
        found: Tensor = tensors.get_tensor(name)
        return found.float()


def _head_of(weights: dict[str, Tensor], folder: str) -> GivenHead:
    """The config that the tensors have together.

    Raises:
        CorruptData: they do not fit each other.
    """
    last = "layers.2" if "layers.2.weight" in weights else "layers.0"
    first = weights["layers.0.weight"]
    width = first.shape[0] if last == "layers.2" else None
    sizes: dict[str, tuple[int, ...]] = {"layers.0.bias": (first.shape[0],)}
    if width is not None:
        sizes |= {"layers.2.weight": (1, width), "layers.2.bias": (1,)}
    else:
        sizes |= {"layers.0.weight": (1, first.shape[-1])}
    for name, tensor in weights.items():
        if tuple(tensor.shape) != sizes.get(name, tuple(tensor.shape)):
            raise CorruptData(f"{folder!r}: the head's {name} has shape {tuple(tensor.shape)}, not {sizes[name]}")
    config = HeadConfig(
        layers=1 if width is None else 2,
        activation="none" if width is None else "tanh",
        width=width,
        bias="layers.0.bias" in weights,
        output_bias=f"{last}.bias" in weights,
    )
    return GivenHead(config, weights)
