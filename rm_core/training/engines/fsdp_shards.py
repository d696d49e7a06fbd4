"""A whole model -> FSDP2 units, of which each rank keeps its rows of every weight.

Units are those of `rm_core.model.units`. A unit's weights are gathered at its border and sharded again behind it, so
that what is recomputed or compiled inside holds no hooks and no collective calls. Zhao et al. 2023, "PyTorch FSDP"
(arXiv 2304.11277).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from math import prod
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from data_pipeline.errors import RunError
from rm_core.model.reward_model import RewardModel
from rm_core.model.units import units_of_model
from rm_core.train_config.config import TrainConfig, ZeroConfig

__all__ = ["Shard", "make_mesh", "shard_model", "units_of"]

SHARD, REPLICATE = "shard", "replicate"


@dataclass(frozen=True, slots=True)
class Shard:
    """The rows that a rank has of one weight.

    Attributes:
        name: of the parameter.
        parameter: the sharded one, a `DTensor`, which the model has outside its units' forward and backward passes.
        local: the rows, for an optimiser; the same memory. Float32 where it trains.
        start: the first element of the flat parameter.
    """

    name: str
    parameter: nn.Parameter
    local: nn.Parameter
    start: int


def make_mesh(config: ZeroConfig, device: torch.device) -> DeviceMesh:
    """Ranks that share the weights, and groups of such ranks that hold copies of one another's.

    Raises:
        RunError: the ranks that there are cannot be cut into such groups.
    """
    ranks, size = dist.get_world_size(), config.shard_size
    if (size or ranks) % config.hpz_partition_size:
        second = f"train.zero.hpz_partition_size={config.hpz_partition_size}"
        raise RunError(f"{size or ranks} workers that share the weights are no groups of {second}: choose a divisor")
    if size in (0, ranks):
        return init_device_mesh(device.type, (ranks,), mesh_dim_names=(SHARD,))
    if ranks % size:
        raise RunError(f"{ranks} workers are no groups of train.zero.shard_size={size}: choose a divisor")
    return init_device_mesh(device.type, (ranks // size, size), mesh_dim_names=(REPLICATE, SHARD))


def units_of(model: nn.Module) -> list[FSDPModule]:
    """All units of a sharded model, the root first."""
    return [module for module in model.modules() if isinstance(module, FSDPModule)]


def shard_model(model: RewardModel, config: TrainConfig, mesh: DeviceMesh, device: torch.device) -> list[Shard]:
    """Leave this rank its rows of every weight, one unit after the other, from host memory on; in the model's order.

    Weights that train are kept in float32, since the optimiser works on them, and are sent and computed with in the
    type that the recipe says; the others stay as they are. Gradients are added up and sent in float32.
    """
    computed = torch.bfloat16 if config.precision == "bf16" else torch.float32
    policy = MixedPrecisionPolicy(param_dtype=computed, reduce_dtype=torch.float32, cast_forward_inputs=False)
    again = _gathers_again(config.zero)
    with _one_mesh_of_second_copies():
        for unit in units_of_model(model):
            _sharded(unit, mesh, policy, device, again)
    _sharded(model, mesh, policy, device, False)  # its backward pass begins at once
    for part in units_of(model):
        part.set_reduce_scatter_unused_params(True)  # a weight that some rank's rows leave alone has a gradient of 0
    model.compute_in(computed)
    return [_shard(name, value, mesh) for name, value in model.named_parameters()]


def _sharded(
    unit: nn.Module, mesh: DeviceMesh, policy: MixedPrecisionPolicy, device: torch.device, again: bool | int
) -> None:
    for parameter in unit.parameters():
        if not isinstance(parameter, DTensor):  # those of units inside are shards already
            dtype = torch.float32 if parameter.requires_grad else policy.param_dtype
            parameter.data = parameter.data.to(device, dtype, copy=True)  # weights in a file's pages are shared
    fully_shard(unit, mesh=mesh, mp_policy=policy, reshard_after_forward=again)


@contextmanager
def _one_mesh_of_second_copies() -> Iterator[None]:
    """FSDP would make groups of ranks for the second copy of each unit anew, and NCCL a communicator for each group."""
    fsdp: Any = import_module("torch.distributed.fsdp._fully_shard._fully_shard")
    make, made = fsdp._get_post_forward_mesh_info, dict[int, Any]()

    def once(again: bool | int, mesh_info: Any) -> Any:
        if isinstance(again, bool):
            return make(again, mesh_info)
        if again not in made:
            made[again] = make(again, mesh_info)
        return made[again]

    fsdp._get_post_forward_mesh_info = once
    try:
        yield
    finally:
        fsdp._get_post_forward_mesh_info = make


def _gathers_again(config: ZeroConfig) -> bool | int:
    """What happens to a unit's weights behind its forward pass: they stay, go, or go but for a share of a few ranks."""
    if config.stage < 3:
        return False
    return config.hpz_partition_size if config.hpz_partition_size > 1 else True


def _shard(name: str, parameter: nn.Parameter, mesh: DeviceMesh) -> Shard:
    assert isinstance(parameter, DTensor), name
    local = cast(DTensor, parameter.detach()).to_local()
    ranks, rank = mesh[SHARD].size(), mesh.get_local_rank(SHARD)
    size = -(-parameter.shape[0] // ranks)  # of the first ranks; the last ones may have fewer, or none
    start = min(size * rank, parameter.shape[0])
    assert len(local) == min(size, parameter.shape[0] - start), name
    own = nn.Parameter(local, requires_grad=parameter.requires_grad)
    return Shard(name, parameter, own, start * prod(parameter.shape[1:]))


def shards_by_parameter(shards: Sequence[Shard]) -> dict[int, Shard]:
    """Of `id(parameter)`."""
    return {id(shard.parameter): shard for shard in shards}
