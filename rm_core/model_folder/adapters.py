"""A LoRA adapter of PEFT, asked for by name: added to the weights of its backbone, W + scale B A, and its head read.

    adapter_config.json          rank, alpha; what we do not compute is refused
    adapter_model.safetensors    base_model.model.NAME.lora_A.weight, .lora_B.weight    added to the layer NAME
                                 base_model.model.score.weight                          a head, trained beside it
                                 base_model.model.NAME                                  a weight that was trained whole

Source: E. Hu et al., "LoRA", arXiv 2106.09685; with ``use_rslora`` the scale of D. Kalajdzievski, arXiv 2312.03732.
"""

import json
import math
import os
from dataclasses import dataclass
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from rm_core.model_folder.given_heads import HEAD_PREFIXES

__all__ = ["Adapter", "add_adapter", "read_adapter"]

_CONFIG, _WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_A, _B = ".lora_A.weight", ".lora_B.weight"
_NOT_COMPUTED = ("use_dora", "use_qalora", "lora_bias", "fan_in_fan_out", "alpha_pattern", "corda_config", "eva_config")
"""Settings that change what is added, or to what."""


@dataclass(frozen=True)
class Adapter:
    """What an adapter has, by its own names without PEFT's prefix.

    Attributes:
        folder: where it lies, for messages.
        scales: alpha over rank, of each layer.
        pairs: (A, B) of each layer.
        whole: weights in the place of the backbone's.
        head: tensors of a reward head.
    """

    folder: str
    scales: dict[str, float]
    pairs: dict[str, tuple[Tensor, Tensor]]
    whole: dict[str, Tensor]
    head: dict[str, Tensor]


def read_adapter(folder: str) -> Adapter:
    """The adapter in the local `folder`.

    Raises:
        MissingInput: none there.
        CorruptData: a file is damaged, or a layer lacks one of its two parts.
        RecipeError: it is no plain LoRA.
    """
    for name in (_CONFIG, _WEIGHTS):
        if not os.path.isfile(os.path.join(folder, name)):
            raise MissingInput(f"{folder!r} holds no {name}: name the folder of a PEFT adapter, saved as safetensors")
    config = _config(folder)
    try:
        tensors = load_file(os.path.join(folder, _WEIGHTS))
    except (SafetensorError, OSError) as error:
        raise CorruptData(f"{os.path.join(folder, _WEIGHTS)!r} is damaged ({error}): copy it again") from error
    own = {name.removeprefix(_PREFIX): value.float() for name, value in tensors.items()}
    layers = sorted({name.removesuffix(end) for name in own for end in (_A, _B) if name.endswith(end)})
    if missing := [layer + end for layer in layers for end in (_A, _B) if layer + end not in own]:
        raise CorruptData(f"{folder!r} lacks {missing[0]!r}: each layer of an adapter has two parts")
    pairs = {layer: (own.pop(layer + _A), own.pop(layer + _B)) for layer in layers}
    power = 0.5 if config.get("use_rslora") else 1.0
    return Adapter(
        folder=folder,
        scales={layer: float(config["lora_alpha"]) / math.pow(len(a), power) for layer, (a, _) in pairs.items()},
        pairs=pairs,
        whole={name: value for name, value in own.items() if not name.startswith(HEAD_PREFIXES)},
        head={name: value for name, value in own.items() if name.startswith(HEAD_PREFIXES)},
    )


def _config(folder: str) -> dict[str, Any]:
    path = os.path.join(folder, _CONFIG)
    try:
        with open(path, encoding="utf8") as file:
            config: dict[str, Any] = json.load(file)
        kind, _ = config["peft_type"], float(config["lora_alpha"])
    except (ValueError, KeyError, TypeError) as error:
        raise CorruptData(f"{path!r} is damaged ({type(error).__name__}: {error}): copy it again") from error
    if kind != "LORA":
        raise RecipeError(f"{path!r} is an adapter of type {kind!r}: only LoRA is read")
    if used := [name for name in _NOT_COMPUTED if config.get(name)]:
        raise RecipeError(
            f"{path!r} sets {', '.join(used)}, which is not computed here: merge the adapter with PEFT "
            "(merge_and_unload), and name the merged folder"
        )
    return config


def add_adapter(backbone: nn.Module, adapter: Adapter) -> None:
    """Change the weights of `backbone`; sums are float32, the result of its type.

    Raises:
        RecipeError: a tensor of the adapter belongs to no weight of the backbone, or to several; names it.
        CorruptData: shapes do not fit.
    """
    weights = dict(backbone.named_parameters())
    with torch.no_grad():
        for layer, (a, b) in adapter.pairs.items():
            weight = _found(weights, f"{layer}.weight", adapter.folder)
            if (len(b), a.shape[-1]) != tuple(weight.shape) or len(a) != b.shape[-1]:
                raise CorruptData(f"{adapter.folder!r}: {layer!r} does not fit a weight of {tuple(weight.shape)}")
            weight.copy_(torch.addmm(weight.float(), b, a, alpha=adapter.scales[layer]))
        for name, value in adapter.whole.items():
            weight = _found(weights, name, adapter.folder)
            if value.shape != weight.shape:
                raise CorruptData(f"{adapter.folder!r}: {name!r} does not fit a weight of {tuple(weight.shape)}")
            weight.copy_(value)


def _found(weights: dict[str, nn.Parameter], name: str, folder: str) -> nn.Parameter:
    """The backbone's weight of that name, whatever class of Transformers stood around the backbone."""
    own = name.removeprefix("model.")
    found = {one for one in (own, f"language_model.{own}", own.removeprefix("model.")) if one in weights}
    if len(found) != 1:
        raise RecipeError(
            f"{folder!r} has {name!r}, which is {'no weight' if not found else 'more than one weight'} of the "
            "backbone: an adapter goes with the model that it was trained on"
        )
    return weights[found.pop()]
