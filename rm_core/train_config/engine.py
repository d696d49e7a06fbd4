"""Which settings of `train.zero` which engine has: DeepSpeed's ZeRO and PyTorch's FSDP2 do not offer the same."""

from data_pipeline.errors import RecipeError
from rm_core.train_config.config import ZeroConfig

__all__ = ["check_engine", "check_offload", "workers_together"]


def check_offload(zero: ZeroConfig) -> None:
    """Refuse to offload what a stage leaves whole.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    if zero.offload_optimizer and zero.stage == 0:
        raise RecipeError("train.zero.offload_optimizer=true needs train.zero.stage 1 to 3: stage 0 shards nothing")
    if zero.offload_parameters and zero.stage != 3:
        raise RecipeError(f"train.zero.offload_parameters=true needs train.zero.stage=3, not {zero.stage}")


def workers_together(zero: ZeroConfig) -> int:
    """What the number of workers is always a multiple of: those that share a copy of the state, or of weights."""
    return zero.shard_size or zero.hpz_partition_size


def check_engine(engine: str, zero: ZeroConfig, *, num_workers: int, min_workers: int | None = None) -> None:
    """Refuse what `engine` cannot do.

    Args:
        min_workers: the fewest that a group goes on with; None: always `num_workers`.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    if engine == "fsdp":
        _check_fsdp(zero, num_workers)
    else:
        _check_deepspeed(zero)
    _check_second_copy(zero, num_workers)
    together = workers_together(zero)
    if min_workers is not None and min_workers % together:
        name = "shard_size" if zero.shard_size else "hpz_partition_size"
        raise RecipeError(
            f"train.group.min_workers={min_workers} is no multiple of train.zero.{name}={together}, of which there are "
            "always whole groups of workers: set it to a multiple"
        )


def _check_second_copy(zero: ZeroConfig, num_workers: int) -> None:
    if zero.hpz_partition_size == 1:
        return
    if zero.stage != 3:
        raise RecipeError(
            f"train.zero.hpz_partition_size={zero.hpz_partition_size} is of weights that are gathered twice, at "
            f"train.zero.stage=3, not {zero.stage}: leave it out"
        )
    sharing = zero.shard_size or num_workers
    if sharing % zero.hpz_partition_size or zero.hpz_partition_size == sharing:
        raise RecipeError(
            f"train.zero.hpz_partition_size={zero.hpz_partition_size} must be a part of the {sharing} workers that "
            "share the weights, and divide their number: set it to the GPUs of a node"
        )


def _check_fsdp(zero: ZeroConfig, num_workers: int) -> None:
    if zero.stage == 0:
        raise RecipeError("train.engine=fsdp shards, and train.zero.stage=0 shards nothing: use 1 to 3")
    for name in ("offload_optimizer", "offload_parameters"):
        if getattr(zero, name):
            raise RecipeError(f"train.zero.{name}=true is read with train.engine=deepspeed only: set that, or false")
    if zero.stage == 1 and zero.reduce == "row":
        raise RecipeError(
            "train.zero.reduce=row leaves no rank a whole gradient, which is train.zero.stage=2: set that, or "
            "train.zero.reduce=step"
        )
    if zero.shard_size and (zero.shard_size == 1 or num_workers % zero.shard_size):
        raise RecipeError(
            f"train.zero.shard_size={zero.shard_size} must divide train.num_workers={num_workers}, and be more than 1: "
            "set it to the GPUs of a node, or to 0"
        )


def _check_deepspeed(zero: ZeroConfig) -> None:
    if zero.shard_size:
        raise RecipeError(
            f"train.zero.shard_size={zero.shard_size} is read with train.engine=fsdp only: set that, or leave it out"
        )
    sent = "step" if zero.stage < 2 else "row"
    if zero.reduce not in ("auto", sent):
        raise RecipeError(
            f"train.zero.reduce={zero.reduce}: DeepSpeed sends gradients once a {sent} at train.zero.stage="
            f"{zero.stage}; leave it out, or set train.engine=fsdp"
        )
