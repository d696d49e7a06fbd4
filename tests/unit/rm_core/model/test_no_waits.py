"""Nothing in a row's forward and backward pass waits for a device: traced on "meta", where no number can be read."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from toys import row_for, toy_comparison, toy_image, toy_reward_model

from rm_core.batches.loader import RankStep
from rm_core.batches.packed import PackedBatch
from rm_core.batches.tensors import map_tensors
from rm_core.model.attention import KERNELS, Work, flex, varlen
from rm_core.model.config import HeadConfig
from rm_core.model.reward_model import Output, RewardModel
from rm_core.objectives.config import ObjectiveConfig
from rm_core.objectives.objective import Objective
from rm_core.packing.sizes import StepCounts
from rm_core.training.accumulation import Accumulator
from rm_core.training.observers import PhaseClock, Phases
from rm_core.training.watchdog import Watchdog

META = torch.device("meta")
_READS = ("_local_scalar_dense", "nonzero", "masked_select", "unique_dim", "_unique2", "is_nonzero")
_COPIES = ("_to_copy", "copy_")


class Waits(TorchDispatchMode):
    """Collects operations that would have a GPU's host wait; "meta" stands for the GPU.

    Args:
        batch: the loader pins its tensors, and those alone.
    """

    def __init__(self, batch: PackedBatch) -> None:
        super().__init__()
        self._pinned: set[int] = set()
        map_tensors(batch, lambda value: self._pinned.add(value.data_ptr()) or value)  # type: ignore[func-returns-value]
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        touched = [*given, *(value for value in tree_leaves(output) if isinstance(value, Tensor))]
        if any(value.is_meta for value in touched):
            host = [value for value in given if not value.is_meta and value.dim()]
            if name in _READS or "convolution" in name:
                self.found.append(name)
            elif name in _COPIES and (host or not output.is_meta):
                waits = not (kwargs or {}).get("non_blocking", name == "copy_" and args[2:] == (True,))
                if waits or any(value.data_ptr() not in self._pinned for value in host):
                    self.found.append(f"{name} of {[list(value.shape) for value in given]}")
            elif host:
                self.found.append(f"{name} of a tensor in host memory")
        return output


class Numbers(TorchFunctionMode):
    """Collects tensors that are made on the device from numbers of Python: the host waits until they are there."""

    def __init__(self, found: list[str]) -> None:
        super().__init__()
        self._found = found

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.tensor, torch.as_tensor) and torch.device((kwargs or {}).get("device") or "cpu") == META:
            self._found.append(func.__name__)
        return func(*args, **(kwargs or {}))


@contextmanager
def watching(batch: PackedBatch) -> Iterator[list[str]]:
    """What waits in the block."""
    with Waits(batch) as waits, Numbers(waits.found):
        yield waits.found


class MetaEngine:
    """One rank without ZeRO on "meta"."""

    device, world_size = META, 1

    def __init__(self, model: RewardModel) -> None:
        self.forward = model

    def backward(self, loss: Tensor, *, last_row: bool) -> None:
        assert last_row
        loss.backward()  # type: ignore[no-untyped-call]

    def outputs(self, batch: PackedBatch) -> Output:
        return Output(self.forward(batch), None)


def standing_in(query: Tensor, key: Tensor, value: Tensor, *_: Any, **__: Any) -> Tensor:
    """For a kernel that no CPU has: what it reads is read."""
    return query + (key.sum() + value.sum())


def model_of(kernel: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> RewardModel:
    model = toy_reward_model(**options).to(META).train()
    model._kernel = KERNELS[kernel]
    if kernel == "flash":
        model._kernel = replace(model._kernel, prepare=partial(varlen.prepare, varlen=standing_in))
    monkeypatch.setattr(flex, "flex_attention", standing_in)
    return model


def batch_of(model: RewardModel) -> PackedBatch:
    images = [(toy_image(1),), (toy_image(2, 140, 112), toy_image(1))] if model.family.has_vision else [(), ()]
    items = [toy_comparison(seed, images=images[seed % 2], ranks=(0, 1, 2)) for seed in range(3)]
    return row_for(model, items)


def waits_of(model: RewardModel, objective: ObjectiveConfig | None = None) -> list[str]:
    """Of one row of a training."""
    batch = batch_of(model)
    counts = StepCounts(comparisons=3, pairs=9, matches=9, responses=9, tokens=batch.num_tokens, patches=0)
    step: Any = RankStep(plan=type("Plan", (), {"counts": counts})(), num_rows=1)  # type: ignore[arg-type]
    phases = Phases(Watchdog(model, timeout_s=0, rank=0, world_size=1, report=print), PhaseClock(META))
    engine: Any = MetaEngine(model)
    accumulator = Accumulator(engine, model, Objective(objective or ObjectiveConfig()), phases)
    with watching(batch) as found:
        accumulator.back_propagate(batch, step, None)
    assert model.work.take().tokens == batch.num_tokens
    assert all(value.grad is not None for value in model.parameters())
    return found


@pytest.mark.parametrize("recompute", ["none", "selective", "full"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_row_waits_for_nothing(kernel: str, recompute: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of(kernel, monkeypatch)
    model.recompute_activations(recompute)
    assert waits_of(model) == []


@pytest.mark.parametrize("model_type", ["qwen2_vl", "qwen3_vl", "internvl", "qwen2", "qwen3"])
def test_no_family_waits(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert waits_of(model_of("sdpa", monkeypatch, model_type=model_type)) == []


def test_neither_pooling_nor_normalised_lengths_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("sdpa", monkeypatch, head=HeadConfig(pooling="mean"))
    assert waits_of(model, ObjectiveConfig(length_normalisation=True, zero_coefficient=0.1)) == []


def test_what_waits_is_found() -> None:
    batch = batch_of(toy_reward_model())
    far = batch.input_ids.to(META)
    for wait, name in (
        (lambda: torch.arange(3).to(META, non_blocking=True), "_to_copy of [[3]]"),
        (lambda: batch.input_ids.to(META), "_to_copy of"),
        (lambda: torch.tensor([1, 2], device=META), "tensor"),
        (lambda: far[torch.tensor([0])], "index of a tensor in host memory"),
        (lambda: torch.nn.Conv1d(1, 1, 1, device=META)(torch.zeros(1, 1, 4, device=META)), "convolution"),
    ):
        with watching(batch) as found:
            wait()
        assert found and name in found[0], name
    with pytest.raises((RuntimeError, NotImplementedError)):
        int(far.sum())
    with watching(batch) as found:
        batch.to(META)
    assert found == [] and Work().take().tokens == 0
