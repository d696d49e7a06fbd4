"""One packed row with the rewards that the trained engine gave it, kept beside the exported weights.

One file, `reward_fixture.safetensors`: the row's tensors and the rewards; what is not a tensor stands in its metadata.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from data_pipeline.errors import MissingInput
from rm_core.batches.labels import Labels
from rm_core.batches.layout import Block, BlockLayout
from rm_core.batches.packed import PackedBatch
from rm_core.batches.targets import Targets
from rm_core.batches.verdicts import Verdicts
from rm_core.model.backbone import DTYPES

__all__ = ["FIXTURE", "Fixture", "read_fixture", "write_fixture"]

FIXTURE = "reward_fixture.safetensors"
_REWARDS, _COSTS, _LABELS, _TARGETS, _VERDICTS = "rewards", "costs", "labels.", "targets.", "verdicts."


@dataclass(frozen=True, slots=True)
class Fixture:
    """What the engine saw and said.

    Attributes:
        batch: the row, without indices: whoever scores it adds those of its model (`with_indices`).
        rewards: float32 [R] or [R, 2], the model's output.
        costs: float32 [N], -log P of each target token of the row; None: it names none.
        dtype: of the engine's weights and activations.
    """

    batch: PackedBatch
    rewards: Tensor
    dtype: torch.dtype
    costs: Tensor | None = None


def write_fixture(
    folder: str, batch: PackedBatch, rewards: Tensor, dtype: torch.dtype, *, costs: Tensor | None = None
) -> None:
    """Write the fixture into `folder`, which need not exist; before `save_reward_model`, which lists all its files.

    A row of eight responses or more compares well; its pixels are kept in `dtype`, as the model reads them.

    Args:
        rewards: what the model gave in evaluation mode, float32 [R] or [R, 2].
        dtype: of the engine's weights: float32 or bfloat16.
        costs: likewise, of the row's targets, where it names any.
    """
    if len(rewards) != batch.labels.num_responses or not len(rewards):
        raise ValueError(f"{len(rewards)} rewards for a row of {batch.labels.num_responses} responses")
    os.makedirs(folder, exist_ok=True)
    tensors = _tensors(batch) | {_LABELS + name: value for name, value in _tensors(batch.labels).items()}
    if batch.targets is not None and costs is not None:
        tensors |= {_TARGETS + name: value for name, value in _tensors(batch.targets).items()}
        tensors[_COSTS] = costs.detach().float()
    if batch.verdicts is not None:
        tensors |= {_VERDICTS + name: value for name, value in _tensors(batch.verdicts).items()}
    tensors["pixel_values"] = tensors["pixel_values"].to(dtype)
    tensors[_REWARDS] = rewards.detach().float()
    named = {field.name: getattr(batch, field.name) for field in fields(batch)}
    row: dict[str, Any] = {name: value for name, value in named.items() if isinstance(value, int | tuple)}
    row |= {"blocks": [asdict(block) for block in batch.layout.blocks], "dtype": str(dtype).removeprefix("torch.")}
    stored = {name: value.cpu().contiguous() for name, value in tensors.items()}
    # One entry: safetensors writes several in an order that changes from process to process.
    save_file(stored, os.path.join(folder, FIXTURE), {"row": json.dumps(row)})


def read_fixture(folder: str) -> Fixture:
    """The fixture of `folder`, on the CPU.

    Raises:
        MissingInput: none there.
    """
    path = os.path.join(folder, FIXTURE)
    if not os.path.isfile(path):
        raise MissingInput(f"{folder!r} holds no {FIXTURE}: only models that training exported can be re-scored")
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no mapping
    row: dict[str, Any] = {name: _as_tuple(value) for name, value in json.loads(metadata["row"]).items()}
    dtype = DTYPES[row.pop("dtype")]
    blocks = [block | {"response_lengths": tuple(block["response_lengths"])} for block in row.pop("blocks")]
    labels, targets, verdicts = (_taken(tensors, prefix) for prefix in (_LABELS, _TARGETS, _VERDICTS))
    rewards, costs = tensors.pop(_REWARDS), tensors.pop(_COSTS, None)
    tensors["pixel_values"] = tensors["pixel_values"].float()
    batch = PackedBatch(
        **tensors,
        **row,
        layout=BlockLayout(tuple(Block(**block) for block in blocks)),
        labels=Labels(ids=row["ids"], **labels),
        targets=Targets(**targets) if targets else None,
        verdicts=Verdicts(**verdicts) if verdicts else None,
    )
    return Fixture(batch, rewards, dtype, costs)


def _taken(tensors: dict[str, Tensor], prefix: str) -> dict[str, Any]:
    """Those whose names begin so, by the rest of their names; they are taken out."""
    return {name.removeprefix(prefix): tensors.pop(name) for name in sorted(tensors) if name.startswith(prefix)}


def _tensors(value: PackedBatch | Labels | Targets | Verdicts) -> dict[str, Tensor]:
    named = {field.name: getattr(value, field.name) for field in fields(value)}
    return {name: tensor for name, tensor in named.items() if isinstance(tensor, Tensor)}


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
