"""Weights that are pages of files stay so: a rank copies one at a time, and never writes into what it has mapped."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from toys import toy_reward_model

from rm_core.training.engines.zero import _OneByOne


def test_weights_are_copied_one_by_one(tmp_path: Path) -> None:
    model = toy_reward_model()
    path = tmp_path / "weights.safetensors"
    save_file({name: value.data.bfloat16() for name, value in model.named_parameters()}, path)
    mapped = load_file(path)
    for name, parameter in model.named_parameters():
        parameter.data = mapped[name]
    before, written = path.read_bytes(), 0
    waiting = list(model.parameters())
    for parameter in _OneByOne(model, torch.bfloat16).parameters():
        assert parameter is waiting.pop(0)
        assert all(other.data_ptr() in {value.data_ptr() for value in mapped.values()} for other in waiting[:3])
        parameter.data.fill_(7.0)  # as the broadcast of rank 0's weight does
        written += 1
    assert not waiting and written == len(mapped)
    assert all(not bool((value == 7.0).all()) for value in mapped.values() if value.numel() > 1)
    assert path.read_bytes() == before


def test_shards_are_left_and_other_types_converted() -> None:
    model = toy_reward_model()
    first, *others = model.parameters()
    first.ds_tensor = torch.zeros(1)  # type: ignore[attr-defined]
    kept = first.data
    assert len(list(_OneByOne(model, torch.bfloat16).parameters())) == 1 + len(others)
    assert first.data is kept or first.data_ptr() == kept.data_ptr()
    assert first.dtype == torch.float32 and {one.dtype for one in others} == {torch.bfloat16}
