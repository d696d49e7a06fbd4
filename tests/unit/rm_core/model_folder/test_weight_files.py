"""Weights written one after the other: the files Transformers reads, and how much is held at once."""

import json
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from toys import toy_reward_model

from rm_core.model_folder import weight_files as shards
from rm_core.model_folder.weight_files import write_backbone

LIMIT = 60_000


class Handed:
    """Hands out copies of weights and counts the bytes of those that are still held."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self.most = 0

    def items(self, weights: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        for number, (name, value) in enumerate(weights.items()):
            copy = value.detach().clone()
            self._held[number] = copy.nbytes
            weakref.finalize(copy, self._held.pop, number)
            self.most = max(self.most, sum(self._held.values()))
            yield name, copy
            del copy


def test_several_files_hold_what_one_would_and_never_is_more_than_two_files_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = toy_reward_model().backbone
    weights = dict(backbone.named_parameters())
    total = sum(value.nbytes for value in weights.values())
    largest = max(value.nbytes for value in weights.values())
    (tmp_path / "one").mkdir()
    (tmp_path / "several").mkdir()
    write_backbone(str(tmp_path / "one"), backbone, weights.items())
    monkeypatch.setattr(shards, "SHARD_BYTES", LIMIT)
    handed = Handed()
    write_backbone(str(tmp_path / "several"), backbone, handed.items(weights))
    files = sorted(path.name for path in (tmp_path / "several").glob("*.safetensors"))
    assert len(files) > 3 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    assert handed.most <= largest + max(LIMIT, largest) < total
    index = json.loads((tmp_path / "several" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == total
    whole = load_file(tmp_path / "one" / "model.safetensors")
    assert set(index["weight_map"]) == set(whole)
    for name, value in whole.items():
        assert torch.equal(load_file(tmp_path / "several" / index["weight_map"][name])[name], value)
    again = type(backbone).from_pretrained(tmp_path / "several", dtype=torch.float32)
    assert all(torch.equal(value, weights[name]) for name, value in again.named_parameters())


def test_one_file_is_what_transformers_itself_writes(tmp_path: Path) -> None:
    backbone = toy_reward_model().backbone
    (tmp_path / "ours").mkdir()
    write_backbone(str(tmp_path / "ours"), backbone, backbone.named_parameters())
    backbone.save_pretrained(tmp_path / "theirs")
    ours, theirs = (load_file(tmp_path / name / "model.safetensors") for name in ("ours", "theirs"))
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert json.loads((tmp_path / "ours/config.json").read_text()) == json.loads(
        (tmp_path / "theirs/config.json").read_text()
    )
