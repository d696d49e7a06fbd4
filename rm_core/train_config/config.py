"""What a recipe may say about training."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, one_of
from rm_core.model.config import HeadConfig, LoraConfig
from rm_core.objectives.config import ObjectiveConfig
from rm_core.train_config.health import HealthConfig, ProfileConfig
from rm_core.train_config.weights import StageConfig, WeightsConfig
from rm_core.train_config.worker_group import WorkerGroupConfig

__all__ = ["OptimizerConfig", "TrainConfig", "ZeroConfig"]


@dataclass(kw_only=True)
class OptimizerConfig:
    """AdamW with a linear warm-up and a cosine decay."""

    learning_rate: float = bounded(3e-6, above=0)
    """Peak learning rate; the paper's choice out of 1e-5, 3e-6, 1e-6, 3e-7."""
    warmup_ratio: float = bounded(0.03, at_least=0, at_most=1)
    """Share of the steps over which the rate rises from 0 to its peak, 0 to 1."""
    final_ratio: float = bounded(0.1, at_least=0, at_most=1)
    """The last step's rate as a share of the peak, 0 to 1."""
    weight_decay: float = bounded(0.0, at_least=0)
    """Decoupled weight decay, on matrices only (no biases, no norms)."""
    beta1: float = bounded(0.9, at_least=0, below=1)
    """Decay of the first moment."""
    beta2: float = bounded(0.95, at_least=0, below=1)
    """Decay of the second moment."""
    epsilon: float = bounded(1e-8, above=0)
    """Term added to the denominator."""
    max_grad_norm: float = bounded(1.0, at_least=0)
    """Global gradient norm is clipped to this; 0 switches clipping off."""


@dataclass(kw_only=True)
class ZeroConfig:
    """How DeepSpeed shards the training state over the ranks."""

    stage: int = bounded(2, at_least=0, at_most=3)
    """0: nothing; 1: optimiser states; 2: and gradients; 3: and parameters."""
    offload_optimizer: bool = False
    """Keep optimiser states in CPU memory (stages 1 to 3)."""
    offload_parameters: bool = False
    """Keep parameters in CPU memory (stage 3)."""


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
    num_workers: int = bounded(2, at_least=1)
    """Processes of the training group; one GPU each where the cluster has GPUs."""
    threads_per_worker: int = bounded(1, at_least=1)
    """CPUs of a worker, and its compute threads where it trains on the CPU."""
    group: WorkerGroupConfig = field(default_factory=WorkerGroupConfig)
    """Where the workers go, and how often they are started again."""
    precision: str = one_of("bf16", ("fp32", "bf16"))
    """fp32 or bf16 (bf16 weights and activations, float32 master weights, head and loss)."""
    zero: ZeroConfig = field(default_factory=ZeroConfig)
    """Sharding of the training state."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimiser and schedule."""
    global_batch: int = bounded(128, at_least=1)
    """Comparisons an optimiser step, over all workers; the order of data does not depend on the number of workers."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row holds at most; a row is one micro-batch of one worker."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches (14 x 14 pixels) a packed row holds at most."""
    epochs: float = bounded(1.0, above=0)
    """Passes over the training split; ignored where `max_steps` is set."""
    max_steps: int | None = bounded(None, at_least=1, cure="leave it out to train by epochs")
    """Optimiser steps; unset: from `epochs`. Not with `stages`, which have their own."""
    seed: int = bounded(0, at_least=-(2**63), below=2**63)
    """Seed of the head's weights, of the order of data and of dropout."""
    checkpoint_every: int = bounded(500, at_least=1)
    """Optimiser steps between two checkpoints, written beside the training; the last step always writes one."""
    keep_checkpoints: int = bounded(2, at_least=1)
    """Newest checkpoints kept."""
    keep_best_checkpoints: int = bounded(0, at_least=0)
    """Also keep so many of the lowest mean loss since the checkpoint before."""
    keep_checkpoint_every: int = bounded(0, at_least=0)
    """Also keep every checkpoint whose step is a multiple of this; 0: none for that."""
    checkpoint_retry_s: float = bounded(600.0, at_least=0)
    """Seconds for which a checkpoint is written again where a remote store fails, beside the training."""
    log_every: int = bounded(10, at_least=1)
    """Optimiser steps between two points of the metrics."""
    stop_grace_s: float = bounded(120.0, at_least=0)
    """Seconds that the group has, after SIGTERM, to end its step and write a checkpoint, before it is killed."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What is minimised."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """Which groups of weights train, and at which rates."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """The adapters of groups that train by LoRA."""
    stages: list[StageConfig] = field(default_factory=list)
    """Parts of the training, one after the other; empty: one of everything, by `epochs` or `max_steps`."""
    attention: str = one_of("auto", ("auto", "sdpa", "flex", "flash"))
    """Attention kernel: auto (flex on a GPU, else sdpa), sdpa, flex or flash; training stops if another one ran."""
    activation_checkpointing: str = one_of("none", ("none", "selective", "full"))
    """Layers whose activations are recomputed in the backward pass: none, selective (every second) or full."""
    stall_timeout_s: float = bounded(1800.0, at_least=0, cure="0 switches it off")
    """Seconds without progress on any worker after which the group is ended, with a report of who hangs where, and
    starts again; 0: never. Longer than a first compilation or a checkpoint of the largest model takes."""
    health: HealthConfig = field(default_factory=HealthConfig)
    """What is looked at while the model trains."""
    profile: ProfileConfig = field(default_factory=ProfileConfig)
    """Traces of chosen steps."""
    prefetch: int = bounded(2, at_least=0)
    """Packed rows prepared ahead of the one in training."""
    loader_workers: int = bounded(0, at_least=0)
    """Processes of each worker that read and decode Comparisons; 0: a thread of the worker itself."""
    cache_dir: str = "cache"
    """The folder for local copies of what is remote, on a disk of each machine. In an object store, as by default where
    `run_dir` is: ``BASEREWARD_CACHE_DIR`` of each machine, which rendered clusters set, or its temporary folder."""
    cache_bytes: int = bounded(107_374_182_400, at_least=1)
    """Bytes that the copies in `cache_dir` may take; the ones used longest ago are deleted."""
