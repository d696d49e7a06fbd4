"""What a recipe may say about training."""

from dataclasses import dataclass, field

from data_pipeline.errors import RecipeError
from rm_core.model.config import HeadConfig

__all__ = ["OptimizerConfig", "TrainConfig", "ZeroConfig", "check_train_config"]


@dataclass(kw_only=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a cosine decay."""

    learning_rate: float = 3e-6
    """Peak learning rate; the paper's choice out of 1e-5, 3e-6, 1e-6, 3e-7."""
    warmup_ratio: float = 0.03
    """Share of the steps over which the rate rises from 0 to its peak, 0 to 1."""
    final_ratio: float = 0.1
    """The last step's rate as a share of the peak, 0 to 1."""
    weight_decay: float = 0.0
    """Decoupled weight decay, on matrices only (no biases, no norms)."""
    beta1: float = 0.9
    """Decay of the first moment."""
    beta2: float = 0.95
    """Decay of the second moment."""
    epsilon: float = 1e-8
    """Term added to the denominator."""
    max_grad_norm: float = 1.0
    """Global gradient norm is clipped to this; 0 switches clipping off."""


@dataclass(kw_only=True)
class ZeroConfig:
    """How DeepSpeed shards the training state over the ranks."""

    stage: int = 2
    """0: nothing; 1: optimiser states; 2: and gradients; 3: and parameters."""
    offload_optimizer: bool = False
    """Keep optimiser states in CPU memory (GPU runs, stages 1 to 3)."""
    offload_parameters: bool = False
    """Keep parameters in CPU memory (GPU runs, stage 3)."""


@dataclass(kw_only=True)
class TrainConfig:
    """One training of one reward model."""

    model: str = "model"
    """The folder to start from: a backbone (a new head is made), or an exported reward model (its head is kept)."""
    data: str = "shards"
    """The folder that preprocessing wrote."""
    output: str = "train"
    """The folder for checkpoints and job state; the finished model goes to ``export`` below it."""
    head: HeadConfig = field(default_factory=HeadConfig)
    """The new head, where `model` has none."""
    num_workers: int = 2
    """Processes of the training group; one GPU each where the cluster has GPUs."""
    threads_per_worker: int = 1
    """CPUs of a worker, and its compute threads where it trains on the CPU."""
    precision: str = "bf16"
    """fp32 or bf16 (bf16 weights and activations, float32 master weights, head and loss)."""
    zero: ZeroConfig = field(default_factory=ZeroConfig)
    """Sharding of the training state."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimiser and schedule."""
    global_batch: int = 128
    """Comparisons an optimiser step, over all workers; the order of data does not depend on the number of workers."""
    token_budget: int = 8192
    """Tokens a packed row holds at most; a row is one micro-batch of one worker."""
    patch_budget: int = 32768
    """Vision patches (14 x 14 pixels) a packed row holds at most."""
    epochs: float = 1.0
    """Passes over the training split; ignored where `max_steps` is set."""
    max_steps: int | None = None
    """Optimiser steps; unset: from `epochs`."""
    seed: int = 0
    """Seed of the head's weights, of the order of data and of dropout."""
    checkpoint_every: int = 500
    """Optimiser steps between two checkpoints; the last step always writes one."""
    keep_checkpoints: int = 2
    """Newest checkpoints kept on disk."""
    log_every: int = 10
    """Optimiser steps between two points of the metrics."""
    max_failures: int = 3
    """Times the group is restarted from its last checkpoint after a worker died, before the run fails."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more compute."""
    prefetch: int = 2
    """Packed rows prepared ahead of the one in training."""
    loader_workers: int = 0
    """Processes of each worker that read and decode Comparisons; 0: a thread of the worker itself."""
    cache_dir: str = "cache"
    """For data on ``s3://``: the folder for local copies of shards, on a disk of each machine."""
    cache_bytes: int = 107_374_182_400
    """Bytes that the copies in `cache_dir` may take; the ones used longest ago are deleted."""


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
    for key in ("prefetch", "loader_workers"):
        if getattr(config, key) < 0:
            raise RecipeError(f"train.{key}={getattr(config, key)} must be at least 0")
    if config.max_steps is not None and config.max_steps < 1:
        raise RecipeError(f"train.max_steps={config.max_steps} must be at least 1; leave it out to train by epochs")
    if config.max_steps is None and config.epochs <= 0:
        raise RecipeError(f"train.epochs={config.epochs} must be above 0")
