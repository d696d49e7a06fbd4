"""The adapter to DeepSpeed, and the only module that imports it.

`ZeroEngine` is an `interface.Engine`: run the model, back-propagate one packed row, take the step, gather; and the
shards that a checkpoint keeps (`zero_state`).
Accumulation is ours ("unmanaged" in DeepSpeed's words): a step has as many rows as its plan says, not a fixed number.
"""

import logging
import math
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

import torch

if not torch.cuda.is_available():  # before DeepSpeed is imported, which otherwise searches and warns
    os.environ.setdefault("DS_ACCELERATOR", "cpu")

import deepspeed
from deepspeed.accelerator import get_accelerator
from deepspeed.utils import set_z3_leaf_module
from torch import Tensor, nn

from rm_core.batches.packed import PackedBatch
from rm_core.model.reward_model import Output, RewardModel
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.parameter_groups import ParameterGroups, RateShare, parameter_groups
from rm_core.training.engines.optimizer import adamw
from rm_core.training.engines.rows import outputs_of, rewards_of
from rm_core.training.engines.schedule import RateSchedule
from rm_core.training.engines.zero_masters import ZeroMasters
from rm_core.training.engines.zero_state import ZeroState

__all__ = ["ZeroEngine", "begin_deepspeed", "shard"]


class ZeroEngine:
    """A model under DeepSpeed ZeRO; made on every rank after `torch.distributed` is initialised. See
    `interface.Engine`.

    Args:
        model: the whole model, equal on all ranks.
        share: (part of the model, step) -> share of that part's peak learning rate.
        make_optimizer: parameter groups -> optimiser; AdamW as the recipe says, unless given.
    """

    def __init__(
        self,
        model: RewardModel,
        config: TrainConfig,
        share: RateShare,
        *,
        make_optimizer: Callable[[ParameterGroups], torch.optim.Optimizer] | None = None,
    ) -> None:
        begin_deepspeed()
        groups = parameter_groups(model, config, model.family.model_type)
        optimizer = adamw(groups, config) if make_optimizer is None else make_optimizer(groups)
        buffers = {name: value.clone() for name, value in model.named_buffers()}
        if config.zero.stage == 3:
            shard(model, config)
        self._engine, *_ = deepspeed.initialize(
            model=model,
            optimizer=optimizer,
            lr_scheduler=lambda wrapped: RateSchedule(wrapped, groups, share),
            config=deepspeed_config(config),
        )
        self._restore(model, buffers)
        self._zero_stage = config.zero.stage
        self._offloaded = config.zero.offload_optimizer
        self._schedule: RateSchedule = self._engine.lr_scheduler
        self._norm = float("nan")
        if config.zero.stage == 0:
            optimizer.register_step_pre_hook(lambda *_: self._clip(model, config.optimizer.max_grad_norm))

    def _restore(self, model: nn.Module, buffers: dict[str, Tensor]) -> None:
        """DeepSpeed casts buffers with the weights; rotary frequencies in bf16 would turn far positions wrongly."""
        for name, value in buffers.items():
            owner, _, own_name = name.rpartition(".")
            setattr(model.get_submodule(owner), own_name, value.to(self.device))

    @property
    def device(self) -> torch.device:
        return torch.device(get_accelerator().current_device_name())

    @property
    def world_size(self) -> int:
        return int(self._engine.world_size)

    @property
    def world_rank(self) -> int:
        return int(self._engine.global_rank)

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rate that the next step takes for each part of the model that trains."""
        return self._schedule.rates

    @property
    def masters(self) -> ZeroMasters:
        """Access to this rank's shards of the float32 weights and first moments."""
        return ZeroMasters(self._zero_stage, self._engine.optimizer)

    def forward(self, batch: PackedBatch) -> Tensor:
        """The model's rewards of one packed row, whatever targets it names."""
        return rewards_of(self._engine, batch)

    def outputs(self, batch: PackedBatch) -> Output:
        """The same, with the costs of the row's targets."""
        return outputs_of(self._engine, batch)

    def backward(self, loss: Tensor, *, last_row: bool = True) -> None:  # noqa: ARG002  # the stage decides
        """Add the gradient of `loss` to the step's. DeepSpeed averages over ranks, so a sum over ranks needs
        `loss` times the world size. It sends gradients after every row at stages 2 and 3, and in the step at 0 and 1.
        """
        self._engine.backward(loss)

    def step(self) -> float:
        """Reduce, clip, update, advance the schedule; returns the gradient norm before clipping.

        Where the norm is not finite, weights and moments stay as they are, and only the schedule advances.
        """
        before = self.num_steps
        self._engine.step()
        if self.num_steps == before:  # DeepSpeed holds the schedule back with the weights
            self._schedule.step()
            self._drop_gradient()
        return self._norm if self._zero_stage == 0 else float(self._engine.get_global_grad_norm())

    def _drop_gradient(self) -> None:
        """Forget the gradient of a step that was left out, where DeepSpeed 0.19 does not.

        With an offloaded optimiser at stage 1 or 2 it would add the next step's to what is not finite in its buffers.
        """
        if self._offloaded and self._zero_stage < 3:
            averaged = self._engine.optimizer.averaged_gradients
            averaged.update(dict.fromkeys(averaged))

    def _clip(self, model: nn.Module, max_norm: float) -> None:
        """Stage 0 only, where DeepSpeed clips without telling the norm; gradients are reduced already."""
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), max_norm if max_norm > 0 else float("inf"))
        self._norm = float(norm)
        if not math.isfinite(self._norm):
            for parameter in model.parameters():
                parameter.grad = None  # the optimiser leaves a weight without a gradient alone

    def replicas(self) -> Iterator[tuple[str, Tensor]]:
        """Weights of which this rank holds a whole copy, as it computes with them: none at stage 3."""
        if self._zero_stage < 3:
            yield from self.named_parameters()

    @property
    def copy_group(self) -> None:
        """None: who holds a copy holds all of it."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The model's own; at stage 3 each holds what DeepSpeed left of it."""
        yield from self._engine.module.named_parameters()

    @property
    def state(self) -> ZeroState:
        """Access to this rank's shards of weights and moments."""
        parameters = [item for item in self.named_parameters() if item[1].requires_grad]
        return ZeroState(
            self._zero_stage, self._engine.optimizer, parameters, rank=self.world_rank, world_size=self.world_size
        )

    @property
    def num_steps(self) -> int:
        """Steps of the schedule that were taken."""
        return self._schedule.num_steps

    def go_to(self, num_steps: int) -> None:
        """Set the schedule as it is after `num_steps` steps."""
        self._schedule.go_to(num_steps)
        self._engine.global_steps = num_steps

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Consolidated weights on the CPU, one parameter at a time; a collective call, data on world rank 0 only."""
        for name, parameter in self.named_parameters():
            with deepspeed.zero.GatheredParameters([parameter], enabled=self._zero_stage == 3):
                if self.world_rank == 0:
                    yield name, parameter.detach().cpu().clone()


def begin_deepspeed() -> None:
    """What precedes any work of DeepSpeed's; more than once is as once."""
    logging.getLogger("DeepSpeed").setLevel(logging.ERROR)
    # Plain gloo between CPU ranks: DeepSpeed's shared-memory kernel would be compiled on first use on every host.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    _import_muon()
    deepspeed.init_distributed(dist_init_required=False)


def shard(model: RewardModel, config: TrainConfig) -> None:
    """Leave this rank its share of every weight, one weight after the other, from host memory on; a collective call.

    `deepspeed.initialize` alone moves the whole model to the GPU first, and a 72B one does not fit there. Weights that
    were loaded in the engine's type are pages of their files, which the ranks of a host share: a rank has a copy of its
    own of one weight at a time.
    """
    begin_deepspeed()
    dtype = torch.bfloat16 if config.precision == "bf16" else torch.float32
    for layer in model.layers:
        # Gathered whole at its border: what is recomputed or compiled inside holds no hooks and no collective calls.
        set_z3_leaf_module(layer, True)
    deepspeed.zero.Init(module=_OneByOne(model, dtype), config_dict_or_path=deepspeed_config(config), dtype=dtype)


class _OneByOne(nn.Module):
    """A model whose weights are copied as DeepSpeed comes to them, each in the engine's type on the rank's device.

    DeepSpeed sends rank 0's weight into that of each rank: in a mapped page of a file this would make a copy of it that
    stays as long as any other weight of the file is there. Shards of two types don't go into one buffer.
    """

    def __init__(self, model: RewardModel, dtype: torch.dtype) -> None:
        super().__init__()
        self._weights = list(model.parameters())
        self._dtype = dtype

    def parameters(self, recurse: bool = True) -> Iterator[nn.Parameter]:  # noqa: ARG002  # as `nn.Module` has it
        """Those of the model that are no shards yet, in its order."""
        device = torch.device(get_accelerator().current_device_name())
        for parameter in self._weights:
            if not hasattr(parameter, "ds_tensor"):
                parameter.data = parameter.data.to(device, self._dtype, copy=True)
            yield parameter


def deepspeed_config(config: TrainConfig) -> dict[str, Any]:
    """DeepSpeed's own configuration for `config`."""
    check_train_config(config)
    zero: dict[str, Any] = {"stage": config.zero.stage}
    if config.zero.offload_optimizer:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if config.zero.offload_parameters:
        zero["offload_param"] = {"device": "cpu", "pin_memory": torch.cuda.is_available()}
    if config.zero.hpz_partition_size > 1:
        zero["zero_hpz_partition_size"] = config.zero.hpz_partition_size
    if config.zero.stage in (1, 3):
        zero["overlap_comm"] = False  # DeepSpeed allows caller-owned accumulation with overlap at stage 2 only
    return {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "managed_gradient_accumulation": False,
        "gradient_clipping": 0.0 if config.zero.stage == 0 else config.optimizer.max_grad_norm,
        "bf16": {"enabled": config.precision == "bf16"},
        "data_types": {"grad_accum_dtype": "fp32"},
        "zero_optimization": zero,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 1_000_000_000,
    }


def _import_muon() -> None:
    """Import DeepSpeed's Muon without PyTorch's compiler, whose import takes each rank two seconds of CPU time.

    DeepSpeed imports it with every engine, whatever the optimiser, and compiles its functions. Nobody here calls them.
    """
    name = "TORCHDYNAMO_DISABLE"
    before = os.environ.get(name)
    os.environ[name] = "1"
    try:
        import_module("deepspeed.runtime.zero.muon.muon_optimizer")
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before
