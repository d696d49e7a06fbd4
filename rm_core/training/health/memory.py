"""Explain in words why a row did not fit into memory."""

import torch

from data_pipeline.errors import RunError
from rm_core.batches.packed import PackedBatch
from rm_core.planner.memory import Memory
from rm_core.train_config.config import TrainConfig

__all__ = ["explain_out_of_memory"]

_SAYINGS = ("DefaultCPUAllocator", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What errors say that PyTorch has no class of its own for; the last two come from outside its allocator."""


def explain_out_of_memory(
    error: Exception, batch: PackedBatch | None, config: TrainConfig, device: torch.device, planned: Memory | None
) -> RunError | None:
    """The error as a user needs it: what was held, what the row was, what to change; None for any other error.

    Args:
        batch: the row under way; None in the optimiser step.
        planned: what the planner expected; None on a CPU.
    """
    known = isinstance(error, torch.OutOfMemoryError | MemoryError)
    if not known and not any(saying in str(error) for saying in _SAYINGS):
        return None
    where = "in the optimiser step"
    if batch is not None:
        where = f"on a row of {batch.num_tokens:,} tokens and {batch.num_patches:,} patches"
    return RunError(f"out of memory {where}{_held(device)}{_expected(planned)}: {_cures(config, batch is not None)}")


def _held(device: torch.device) -> str:
    if device.type != "cuda":
        return ""
    free, total = torch.cuda.mem_get_info(device)
    peak = torch.cuda.max_memory_allocated(device)
    return f" ({peak / 1e9:.1f} GB were held at most, {free / 1e9:.1f} of {total / 1e9:.1f} GB are free)"


def _expected(planned: Memory | None) -> str:
    if planned is None:
        return ""
    parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in planned.rows() if size)
    return f"; the plan was {planned.needed / 1e9:.1f} GB ({parts})"


def _cures(config: TrainConfig, in_row: bool) -> str:
    cures = []
    if in_row:
        cures.append(f"lower train.token_budget={config.token_budget} or train.patch_budget={config.patch_budget}")
        if config.activation_checkpointing != "full":
            cures.append(f"set train.activation_checkpointing=full (it is {config.activation_checkpointing})")
    cures += _sharding_cures(config)
    cures.append("take more workers")
    return ", or ".join(cures) + "; `basereward plan` shows what each of them brings. The same command then goes on"


def _sharding_cures(config: TrainConfig) -> list[str]:
    """What the engine of `config` can do to hold less."""
    zero, cures = config.zero, []
    if zero.reduce == "step" and config.engine == "fsdp" and zero.stage > 1:
        cures.append("set train.zero.reduce=row")
    if zero.shard_size not in (0, config.num_workers):
        cures.append(f"set train.zero.shard_size=0 (it is {zero.shard_size})")
    if zero.hpz_partition_size > 1:
        cures.append(f"leave out train.zero.hpz_partition_size={zero.hpz_partition_size}")
    if zero.stage < (2 if config.language_loss == "liger" else 3):
        cures.append(f"raise train.zero.stage={zero.stage}")
    if config.engine == "deepspeed" and not zero.offload_optimizer and zero.stage > 0:
        cures.append("set train.zero.offload_optimizer=true")
    return cures
