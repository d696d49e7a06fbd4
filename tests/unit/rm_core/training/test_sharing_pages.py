"""Weights that are pages of files stay so: a rank copies one at a time, and never writes into what it has mapped."""

from pathlib import Path

import torch
import torch.distributed as dist
from safetensors.torch import load_file, save_file
from toys import ROW_FORMAT, toy_comparison, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.training.engines.fsdp import FsdpEngine
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


def test_fsdp_writes_into_shards_of_its_own(tmp_path: Path) -> None:
    """Also on one rank, whose shard is the whole weight, and in float32, where nothing has to be converted."""
    model = toy_reward_model()
    path = tmp_path / "weights.safetensors"
    save_file({name: value.data for name, value in model.named_parameters()}, path)
    mapped, before = load_file(path), path.read_bytes()
    for name, parameter in model.named_parameters():
        parameter.data = mapped[name]
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        config = TrainConfig(engine="fsdp", precision="fp32", num_workers=1, zero=ZeroConfig(stage=3))
        engine = FsdpEngine(model, config, lambda *_: 1.0)
        engine.backward(engine.forward(collate([toy_comparison(0)], row_format=ROW_FORMAT)).square().sum())
        engine.step()
        weights = dict(engine.weights())
    finally:
        dist.destroy_process_group()
    assert weights.keys() == mapped.keys() and not torch.equal(
        weights["head.layers.0.weight"], mapped["head.layers.0.weight"]
    )
    assert path.read_bytes() == before
    assert all(torch.equal(value, mapped[name]) for name, value in load_file(path).items())
