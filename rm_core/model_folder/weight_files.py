"""Weights to safetensors files of bounded size, one tensor at a time: no rank has to hold a whole model."""

import json
import os
from collections.abc import Iterable
from typing import Any

from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME

__all__ = ["LANGUAGE_HEAD", "SHARD_BYTES", "write_backbone"]

LANGUAGE_HEAD = "lm_head.weight"
"""What Transformers calls the weight of a language head in files, whatever the backbone."""

SHARD_BYTES = 4_000_000_000
"""Of a file at most, unless one tensor alone is larger; so much of the model is held at once."""


def write_backbone(folder: str, backbone: PreTrainedModel, weights: Iterable[tuple[str, Tensor]]) -> None:
    """Write config and weights as `PreTrainedModel.save_pretrained` does, without ever holding all of them.

    Args:
        backbone: gives the config and the names in files; its own weights are not read.
        weights: names as in `backbone`, each once; and ``lm_head.weight``, where a language head has its own.
    """
    backbone.config.architectures = [type(backbone).__name__]
    shards = _Shards(folder)
    for name, value in weights:
        backbone.config.dtype = str(value.dtype).removeprefix("torch.")
        shards.add(*_in_file(backbone, name, value))
    shards.finish()
    backbone.config.save_pretrained(folder)


def _in_file(backbone: PreTrainedModel, name: str, value: Tensor) -> tuple[str, Tensor]:
    """Names in files differ from those in the model where a family was renamed; no family joins or splits tensors."""
    if name == LANGUAGE_HEAD:  # the backbone does not know it
        return name, value
    [(in_file, tensor)] = revert_weight_conversion(backbone, {name: value}).items()
    return in_file, tensor


class _Shards:
    """Files in the order in which tensors come, named for good once their number is known."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._pending: dict[str, Tensor] = {}
        self._pending_bytes = 0
        self._names: list[list[str]] = []
        self._sizes = {"total_parameters": 0, "total_size": 0}

    def add(self, name: str, tensor: Tensor) -> None:
        if self._pending and self._pending_bytes + tensor.nbytes > SHARD_BYTES:
            self._write()
        self._pending[name] = tensor.contiguous()
        self._pending_bytes += tensor.nbytes
        self._sizes["total_parameters"] += tensor.numel()
        self._sizes["total_size"] += tensor.nbytes

    def finish(self) -> None:
        if self._pending:
            self._write()
        count = len(self._names)
        if count == 1:
            os.replace(self._draft(0), os.path.join(self._folder, SAFE_WEIGHTS_NAME))
            return
        weight_map: dict[str, str] = {}
        for index, names in enumerate(self._names):
            file = f"model-{index + 1:05d}-of-{count:05d}.safetensors"
            os.replace(self._draft(index), os.path.join(self._folder, file))
            weight_map |= dict.fromkeys(names, file)
        content: dict[str, Any] = {"metadata": self._sizes, "weight_map": weight_map}
        with open(os.path.join(self._folder, SAFE_WEIGHTS_INDEX_NAME), "w", encoding="utf8") as file_of_index:
            file_of_index.write(json.dumps(content, indent=2, sort_keys=True) + "\n")

    def _write(self) -> None:
        save_file(self._pending, self._draft(len(self._names)), metadata={"format": "pt"})
        self._names.append(list(self._pending))
        self._pending, self._pending_bytes = {}, 0

    def _draft(self, index: int) -> str:
        return os.path.join(self._folder, f"model-{index + 1:05d}.safetensors.part")
