"""PyTorch's FSDP2 as an engine: weights, gradients and optimiser states by rows, sent while the GPU computes.

    stage 1, 2   weights are gathered in a step's first row, and stay until its last one
    stage 3      weights are gathered for each unit's forward and backward pass
    reduce       step: gradients stay local and are sent unit by unit while the last row's are computed
                 row: they are sent while each row's are computed; between replicas still once a step

Gradients are added up and sent in float32, whatever the weights are. Zhao et al. 2023 (arXiv 2304.11277).
"""

import math
from collections.abc import Callable, Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from rm_core.batches.packed import PackedBatch
from rm_core.model.reward_model import Output, RewardModel
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import ParameterGroups, RateShare, parameter_groups
from rm_core.training.engines.fsdp_shards import (
    REPLICATE,
    SHARD,
    Shard,
    make_mesh,
    shard_model,
    shards_by_parameter,
    units_of,
)
from rm_core.training.engines.fsdp_state import FsdpMasters, FsdpState
from rm_core.training.engines.optimizer import adamw
from rm_core.training.engines.rows import outputs_of, rewards_of
from rm_core.training.engines.schedule import RateSchedule

__all__ = ["FsdpEngine"]


class FsdpEngine:
    """A model under FSDP2; made on every rank after `torch.distributed` is initialised. See `interface.Engine`.

    Args:
        model: the whole model, equal on all ranks.
        share: (part of the model, step) -> share of that part's peak learning rate.
        make_optimizer: parameter groups -> optimiser; AdamW as the recipe says, unless given.

    Raises:
        RunError: there are no such groups of ranks as `zero.shard_size` asks for.
    """

    def __init__(
        self,
        model: RewardModel,
        config: TrainConfig,
        share: RateShare,
        *,
        make_optimizer: Callable[[ParameterGroups], torch.optim.Optimizer] | None = None,
    ) -> None:
        check_train_config(config)
        self._device = _device()
        self._mesh = make_mesh(config.zero, self._device)
        self._shards = shard_model(model, config, self._mesh, self._device)
        self._by_parameter = shards_by_parameter(self._shards)
        self._trained = [shard for shard in self._shards if shard.parameter.requires_grad]
        self._model = model
        self._units = units_of(model)
        self._gathers_once = config.zero.stage < 3
        self._reduces_once = config.zero.reduces_once
        self._max_norm = config.optimizer.max_grad_norm
        groups = self._groups(config)
        self._optimizer = adamw(groups, config) if make_optimizer is None else make_optimizer(groups)
        self._schedule = RateSchedule(self._optimizer, groups, share)

    def _groups(self, config: TrainConfig) -> ParameterGroups:
        """The optimiser's groups, of this rank's rows."""
        groups = parameter_groups(self._model, config, self._model.family.model_type)
        return [{**group, "params": [self._by_parameter[id(one)].local for one in group["params"]]} for group in groups]

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""
        return self._device

    @property
    def world_size(self) -> int:
        """Ranks of the training."""
        return dist.get_world_size()

    @property
    def world_rank(self) -> int:
        """Which of them this one is."""
        return dist.get_rank()

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rate that the next step takes for each part of the model that trains."""
        return self._schedule.rates

    @property
    def masters(self) -> FsdpMasters:
        """Access to this rank's rows of the float32 weights and first moments."""
        return FsdpMasters(self._by_parameter, self._optimizer)

    @property
    def state(self) -> FsdpState:
        """Access to this rank's rows of weights and moments."""
        replica = (self._mesh.get_local_rank(REPLICATE), self._mesh[REPLICATE].size()) if self._replicated else (0, 1)
        return FsdpState(self._trained, self._optimizer, replica, self._reshard)

    @property
    def _replicated(self) -> bool:
        return self._mesh.ndim > 1

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and sharded parameters, also while the model has the gathered ones."""
        yield from ((shard.name, shard.parameter) for shard in self._shards)

    def forward(self, batch: PackedBatch) -> Tensor:
        """The model's rewards of one packed row, whatever targets it names."""
        return rewards_of(self._model, batch)

    def outputs(self, batch: PackedBatch) -> Output:
        """The same, with the costs of the row's targets."""
        return outputs_of(self._model, batch)

    def backward(self, loss: Tensor, *, last_row: bool = True) -> None:
        """Add the gradient of `loss` to the step's, which is averaged over ranks: a sum needs `loss` times the world
        size. In the step's last row, or in each one, gradients are sent as soon as a unit's are there.
        """
        root = self._units[0]
        root.set_requires_gradient_sync(last_row or not self._reduces_once)
        root.set_requires_all_reduce(last_row)
        root.set_reshard_after_backward(last_row or not self._gathers_once)
        loss.backward()  # type: ignore[no-untyped-call]

    def step(self) -> float:
        """Clip, update, advance the schedule; returns the gradient norm before clipping.

        Where the norm is not finite, weights and moments stay as they are, and only the schedule advances.
        """
        gradients = self._hand_over()
        norm = self._norm(gradients)
        if math.isfinite(norm):
            if 0 < self._max_norm < norm:
                torch._foreach_mul_(gradients, self._max_norm / (norm + 1e-6))
            self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._schedule.step()
        return norm

    def _hand_over(self) -> list[Tensor]:
        """Gradients of this rank's rows, from the sharded parameters to those of the optimiser."""
        for shard in self._trained:
            gradient = shard.parameter.grad
            shard.local.grad = None if gradient is None else gradient.to_local()  # type: ignore[attr-defined]
            shard.parameter.grad = None
        return [shard.local.grad for shard in self._trained if shard.local.grad is not None]

    def _norm(self, gradients: list[Tensor]) -> float:
        """Of the whole gradient, the same bits on every rank: copies that clipped by another one would drift apart."""
        own = get_total_norm([one for one in gradients if one.numel()]).double().square().to(self._device)
        dist.all_reduce(own)
        squares = float(own) / (self.world_size // self._mesh[SHARD].size())  # copies have equal gradients
        return math.sqrt(squares) if math.isfinite(squares) else squares

    def replicas(self) -> Iterator[tuple[str, Tensor]]:
        """Its own rows, float32 where they are trained, where `zero.shard_size` makes copies of them."""
        if self._replicated:
            yield from ((shard.name, shard.local) for shard in self._shards)

    @property
    def copy_group(self) -> dist.ProcessGroup | None:
        """The ranks that share one copy."""
        return self._mesh.get_group(SHARD) if self._replicated else None

    @property
    def num_steps(self) -> int:
        """Steps of the schedule that were taken."""
        return self._schedule.num_steps

    def go_to(self, num_steps: int) -> None:
        """Set the schedule as it is after `num_steps` steps."""
        self._schedule.go_to(num_steps)

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Consolidated weights on the CPU in the type that the model computes in, one parameter at a time; a
        collective call, data on world rank 0 only.
        """
        for shard in self._shards:
            whole = _whole(shard, self._model.dtype)
            if self.world_rank == 0:
                yield shard.name, whole.cpu()

    def _reshard(self) -> None:
        for unit in self._units:
            unit.reshard()


def _whole(shard: Shard, dtype: torch.dtype) -> Tensor:
    sharded = shard.parameter.detach().to(dtype)
    whole: Tensor = sharded.full_tensor()  # type: ignore[attr-defined]
    return whole


def _device() -> torch.device:
    """The GPU that this process was given, or the CPU."""
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
