"""72B at its true shapes, without a byte of it: what a machine holds while it is loaded and exported."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from rm_core.model.backbone import new_backbone
from rm_core.model_folder import weight_files
from rm_core.planner.architecture import architecture_of, config_of_shape
from rm_core.planner.gpus import GPUS
from rm_core.planner.memory import memory_of
from rm_core.planner.setting import Setting
from rm_core.train_config.config import TrainConfig, ZeroConfig

CONFIG = TrainConfig(num_workers=32, zero=ZeroConfig(stage=3), activation_checkpointing="full")


def test_a_machine_loads_the_model_once() -> None:
    """145 GB in bf16, and not 145 for each of eight ranks, which no machine of the catalogue has."""
    arch = architecture_of(config_of_shape("72b"), CONFIG)
    memory, whole = memory_of(arch, Setting.of(CONFIG)), 2 * arch.numel
    assert whole / 1e9 == pytest.approx(144.5, abs=0.1)
    assert 8 * memory.weights_host < 1.3 * whole
    assert memory.fits(GPUS["h100-80gb"])
    alone = memory_of(arch, replace(Setting.of(CONFIG), gpus_per_node=1))
    assert alone.weights_host > whole and not alone.fits(replace(GPUS["h100-80gb"], host_gb=128))


def test_an_export_holds_a_file_of_it_at_most(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Every weight of the backbone through the writer, in the order of the model; of each file only names and sizes."""
    held: list[int] = []

    def save(tensors: dict[str, Tensor], path: str, metadata: dict[str, str]) -> None:
        held.append(sum(tensor.nbytes for tensor in tensors.values()))
        open(path, "wb").close()

    monkeypatch.setattr(weight_files, "save_file", save)
    with torch.device("meta"):
        backbone = new_backbone(config_of_shape("72b"), seed=0, dtype=torch.bfloat16, device=torch.device("meta"))
    given = [0]

    def weights() -> Iterator[tuple[str, Tensor]]:
        for name, value in backbone.named_parameters():
            given[0] += value.nbytes
            assert given[0] - sum(held) <= weight_files.SHARD_BYTES + value.nbytes, "more than a file is waiting"
            yield name, value

    weight_files.write_backbone(str(tmp_path), backbone, weights())
    assert sum(held) == given[0] == sum(value.nbytes for value in backbone.parameters())
    assert max(held) <= weight_files.SHARD_BYTES and len(held) > 30
