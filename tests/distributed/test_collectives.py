"""What two ranks send in a step, counted call by call: as the planner says, and by rows only at stages 2 and 3."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from distributed_ranks import run_ranks
from sharding import How, begin, sharded_by
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from toys import ROW_FORMAT, toy_comparison, toy_reward_model

from rm_core.batches.packed import collate
from rm_core.model.reward_model import RewardModel
from rm_core.planner.sending import sent_of
from rm_core.train_config.config import TrainConfig
from rm_core.training.engines import zero as engine_module

pytestmark = pytest.mark.drill

STAGES: dict[How, str] = {0: "fp32", 1: "bf16", 2: "bf16", 3: "bf16"}
FSDP = ("fsdp-1", "fsdp-2", "fsdp-2-step", "fsdp-3", "fsdp-3-step")
GATHERS = ("_allgather_base_", "allgather_into_tensor_coalesced_", "allgather_")
SCATTERS = ("_reduce_scatter_base_", "reduce_scatter_tensor_coalesced_", "reduce_scatter_")
KINDS = {
    "c10d.allreduce_": "all-reduce",
    **{f"c10d.{name}": "gather" for name in GATHERS},
    **{f"c10d.{name}": "reduce-scatter" for name in SCATTERS},
}
SMALL = 64
"""Elements of a tensor that is a flag or a norm, and no weights or gradients."""


class Counted(TorchDispatchMode):
    """Bytes and calls of the collectives that run inside, by kind: bytes of the whole tensor, as the ring's formulas
    take it."""

    def __init__(self) -> None:
        super().__init__()
        self.bytes: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()
        self.between: Counter[tuple[str, int]] = Counter()
        """Bytes by kind and number of ranks."""

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = str(func).rpartition(".")[0]
        if name.startswith("c10d."):
            tensors = [one for one in _tensors(args) if one.numel() > SMALL]
            if name in KINDS and tensors:
                self.bytes[KINDS[name]] += max(one.numel() * one.element_size() for one in tensors)
                self.calls[KINDS[name]] += 1
                group = next(dist.ProcessGroup.unbox(one) for one in args if isinstance(one, torch.ScriptObject))
                self.between[KINDS[name], group.size()] += max(one.numel() * one.element_size() for one in tensors)
            else:
                assert not tensors or name == "c10d.broadcast_", name
        return func(*args, **(kwargs or {}))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    return [one for part in value for one in _tensors(part)] if isinstance(value, list | tuple) else []


def step_of(how: How, num_rows: int, **more: Any) -> Counted:
    """What one step of so many rows sends, the third of a training: at stage 3 DeepSpeed traces the first."""
    engine = begin(
        toy_reward_model(),
        TrainConfig(precision=STAGES.get(how, "bf16"), num_workers=dist.get_world_size(), **sharded_by(how, **more)),
    )
    rows = [collate([toy_comparison(seed)], row_format=ROW_FORMAT) for seed in range(num_rows)]

    def step() -> None:
        for number, row in enumerate(rows, start=1):
            engine.backward(engine.forward(row).square().mean(), last_row=number == num_rows)
        engine.step()

    step()
    step()
    with Counted() as counted:
        step()
    return counted


def without_persistence() -> None:
    """Else DeepSpeed keeps weights as small as a toy's whole after their first use."""
    made = engine_module.deepspeed_config

    def changed(config: TrainConfig) -> dict[str, Any]:
        given = made(config)
        given["zero_optimization"] |= {
            "stage3_param_persistence_threshold": 0,
            "stage3_max_reuse_distance": 0,
            "stage3_max_live_parameters": 0,
        }
        return given

    engine_module.deepspeed_config = changed


def steps() -> dict[tuple[How, int], tuple[Counter[str], Counter[str]]]:
    """Of each way to shard and number of rows: bytes and calls of each kind."""
    without_persistence()
    found = {(how, rows): step_of(how, rows) for how in (*STAGES, *FSDP) for rows in (1, 4)}
    return {case: (counted.bytes, counted.calls) for case, counted in found.items()}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[How, int], tuple[Counter[str], Counter[str]]]:
    [first, second] = run_ranks(steps, 2, Path(tmp_path_factory.mktemp("collectives")))
    assert first == second
    return dict(first)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("stage", STAGES)
def test_a_step_sends_what_the_planner_takes_it_to_send(found: Any, stage: int, rows: int) -> None:
    """The gradient is reduced once a step at stages 0 and 1, however many rows it has; once a row at 2 and 3."""
    (sent, _), numel = found[stage, rows], sum(weight.numel() for weight in toy_reward_model().parameters())
    ring = {"all-reduce": 2, "gather": 1, "reduce-scatter": 1}
    of_ring = sum(ring[kind] * size for kind, size in sent.items()) / 2  # (N - 1) / N of a tensor, at two ranks
    arch = SimpleNamespace(numel=numel, trained_numel=numel)
    size = 4 if STAGES[stage] == "fp32" else 2
    setting = SimpleNamespace(engine="deepspeed", gpus=2, stage=stage, itemsize=size, hpz_partition_size=1)
    assert of_ring == pytest.approx(sent_of(arch, setting, rows).total, rel=0.02)


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("how", FSDP)
def test_fsdp_sends_gradients_once_a_step_or_once_a_row(found: Any, how: str, rows: int) -> None:
    """And gathers weights once a step at stages 1 and 2, twice a row at stage 3, but for the root unit's: those stay
    from forward to backward.
    """
    sent, calls = found[how, rows]
    model = toy_reward_model()
    numel, units = sum(weight.numel() for weight in model.parameters()), len(model.layers) + 2
    root = root_numel(model)
    once = how.endswith("step") or how == "fsdp-1"
    reduced = 1 if once else rows
    # Shards of unequal size are filled up: at most a row of each weight a rank.
    assert sent["reduce-scatter"] == pytest.approx(4 * numel * reduced, rel=0.02)
    assert calls["reduce-scatter"] == units * reduced
    gathered, gathers = (numel, units) if "-3" not in how else (rows * (2 * numel - root), rows * (2 * units - 1))
    assert sent["gather"] == pytest.approx(2 * gathered, rel=0.02)
    assert calls["gather"] == gathers
    assert set(sent) == {"gather", "reduce-scatter"}
    arch = SimpleNamespace(numel=numel, trained_numel=numel, again_numel=numel - root)
    setting = SimpleNamespace(
        engine="fsdp", gpus=2, sharing=2, stage=int(how[5]), itemsize=2, hpz_partition_size=1, reduces_once=once
    )
    # At two ranks (N - 1) / N of what is gathered and scattered.
    assert sum(sent.values()) / 2 == pytest.approx(sent_of(arch, setting, rows).total, rel=0.02)


def root_numel(model: RewardModel) -> int:
    """Weights of FSDP's root unit: all but layers, blocks and embeddings."""
    inside = [*model.layers, model.family.decoder(model.backbone).embed_tokens]
    whole = sum(weight.numel() for weight in model.parameters())
    return whole - sum(weight.numel() for unit in inside for weight in unit.parameters())


def steps_of_four() -> dict[str, Counter[tuple[str, int]]]:
    """Bytes of a step of four rows by kind and number of ranks, on two nodes of two ranks by their number."""
    os.environ["LOCAL_RANK"] = str(int(os.environ["RANK"]) % 2)
    os.environ["LOCAL_WORLD_SIZE"] = "2"
    without_persistence()
    return {
        "copies": step_of("fsdp-2-row-2", 4).between,
        "copies at stage 3": step_of("fsdp-3-row-2", 4).between,
        "second copy, fsdp": step_of("fsdp-3", 4, hpz_partition_size=2).between,
        "second copy, deepspeed": step_of(3, 4, hpz_partition_size=2).between,
    }


def test_nodes_keep_most_of_the_traffic_to_themselves(tmp_path: Path) -> None:
    found = run_ranks(steps_of_four, 4, tmp_path)[0]
    rows, model = 4, toy_reward_model()
    numel, root = sum(weight.numel() for weight in model.parameters()), root_numel(model)

    def sent(**expected: float) -> Any:
        """KIND_RANKS -> bytes; shards of unequal size are filled up."""
        keys = {name: (name.rpartition("_")[0].replace("_", "-"), int(name[-1])) for name in expected}
        return pytest.approx({keys[name]: value for name, value in expected.items()}, rel=0.03)

    # Gradients between nodes once a step, of a rank's half.
    assert found["copies"] == sent(reduce_scatter_2=4 * numel * rows, all_reduce_2=4 * numel / 2, gather_2=2 * numel)
    assert found["copies at stage 3"] == sent(
        reduce_scatter_2=4 * numel * rows, all_reduce_2=4 * numel / 2, gather_2=2 * (2 * numel - root) * rows
    )
    # Backward passes gather within a node; DeepSpeed's forward passes too, but for the first row's.
    assert found["second copy, fsdp"] == sent(
        reduce_scatter_4=4 * numel * rows, gather_4=2 * numel * rows, gather_2=2 * (numel - root) * rows
    )
    assert found["second copy, deepspeed"] == sent(
        reduce_scatter_4=2 * numel * rows, gather_4=2 * numel, gather_2=2 * numel * (2 * rows - 1)
    )
