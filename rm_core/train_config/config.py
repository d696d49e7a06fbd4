"""What a recipe may say about training, its group of workers, its health and its profile."""

from dataclasses import dataclass, field

from data_pipeline.bounds import bounded, one_of
from data_pipeline.errors import RecipeError
from rm_core.model.config import PARADIGMS, HeadConfig, LoraConfig
from rm_core.objectives.config import CriticConfig, ObjectiveConfig
from rm_core.train_config.generative import GenerativeConfig
from rm_core.train_config.weights import StageConfig, WeightsConfig

__all__ = [
    "METHODS",
    "TRAINING_LOSS",
    "HealthConfig",
    "OptimizerConfig",
    "ProfileConfig",
    "TrainConfig",
    "WorkerGroupConfig",
    "ZeroConfig",
    "check_min_workers",
    "check_profile",
    "minimised",
    "sharding",
]

METHODS = {"deepspeed": "ZeRO", "fsdp": "FSDP"}
"""What may shard the training state, and whose stages it has."""
REDUCE = ("auto", "row", "step")
"""When gradients are sent."""
TRAINING_LOSS = "train/loss"
"""The only `best_metric` that needs no evaluation."""


@dataclass(kw_only=True)
class HealthConfig:
    """What is looked at while a model trains, and when that ends the training."""

    max_skipped_steps: int = bounded(3, at_least=0)
    """Steps in a row that are left out because a loss or a gradient is not finite; one more ends the training."""
    compare_ranks_every: int = bounded(100, at_least=0)
    """Optimiser steps between two looks at whether all ranks hold the same weights, rates and position; 0: none."""
    reward_drift: float = bounded(10.0, at_least=0)
    """Warns where the rewards of a window lie so many first standard deviations off the first window's mean, or spread
    so many times as far; 0: never."""
    stop_on_drift: bool = False
    """End the training instead of warning."""
    data_wait: float = bounded(0.5, above=0, at_most=1)
    """Warns where a rank waited for its rows for more than this share of three windows in a row, 0 to 1."""


@dataclass(kw_only=True)
class ProfileConfig:
    """Traces of PyTorch's profiler, kept as files of the MLflow run."""

    steps: list[int] = bounded([], at_least=1, cure="steps are counted from 1")
    """Optimiser steps to trace, each counted from 1 as in the metrics; none: no profiler."""
    ranks: list[int] = bounded([0], at_least=0)
    """Ranks whose traces are kept."""


def check_profile(profile: ProfileConfig, *, num_workers: int) -> None:
    """Refuse steps to trace without a rank, and ranks that the group does not have.

    Raises:
        RecipeError: names the key, its value and the cure.
    """
    if profile.steps and not profile.ranks:
        raise RecipeError("train.profile.ranks is empty: name the ranks to trace, for example [0]")
    if profile.steps and max(profile.ranks) >= num_workers:
        ranks = f"ranks are 0 to {num_workers - 1} with train.num_workers={num_workers}"
        raise RecipeError(f"train.profile.ranks={profile.ranks}: {ranks}")


@dataclass(kw_only=True)
class WorkerGroupConfig:
    """Placement of the workers, and how often the group is started again."""

    min_workers: int | None = bounded(None, at_least=1)
    """Fewest workers to go on with while nodes are missing; the group grows back to ``num_workers`` when they return,
    by whole groups that share one copy (`zero.shard_size`). Unset: always ``num_workers``."""
    accelerator: str | None = None
    """The only type of GPU to take, as Ray names it, for example H100 or A100-80G; unset: any."""
    exclude_nodes: list[str] = field(default_factory=list)
    """Nodes that get no worker: their addresses or Ray's ids of them."""
    exclude_node_after: int = bounded(2, at_least=0)
    """A node on which workers died so many times gets none any more; 0: it always may."""
    start_timeout_s: float = bounded(1800.0, above=0)
    """Seconds to wait for room for the workers, at the start and after a loss; a cluster may add nodes meanwhile, and
    machines that pull an image take minutes. After it the command ends with code 75, which ``--retries`` repeats."""
    watch_s: float = bounded(10.0, above=0)
    """Seconds between two looks at the cluster: for nodes that are about to be taken away, and for room to grow."""
    max_failures: int = bounded(3, at_least=0)
    """Times the group is started again from its last checkpoint after an error in a worker's own code."""
    max_lost_workers: int = bounded(20, at_least=0)
    """Times it is started again after workers or their nodes died, or hung: more often, as on spot machines."""


def check_min_workers(config: WorkerGroupConfig, num_workers: int) -> None:
    """Refuse a group whose smallest size is above its full one.

    Raises:
        RecipeError: names both keys with their values.
    """
    least = config.min_workers
    if least is not None and least > num_workers:
        raise RecipeError(f"train.group.min_workers={least} must be 1 to train.num_workers={num_workers}")


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
    """How the engine shards the training state over the ranks."""

    stage: int = bounded(2, at_least=0, at_most=3)
    """0: nothing; 1: optimiser states; 2: and gradients; 3: and parameters."""
    reduce: str = one_of("auto", REDUCE)
    """When gradients are sent: after each ``row``, or in the last row of a ``step``, until when all of them are kept;
    or auto (step at stages 0 and 1, row at 2 and 3). `engine` deepspeed has no choice."""
    shard_size: int = bounded(0, at_least=0)
    """Workers that share one copy of the state, such as those of a node; between such groups gradients are added up
    once a step. 0: all workers share one (`engine` fsdp)."""
    hpz_partition_size: int = bounded(1, at_least=1)
    """Workers that share a second copy of the weights between forward and backward, such as those of a node, so that
    the backward pass gathers within it (stage 3); 1: none."""
    offload_optimizer: bool = False
    """Keep optimiser states in CPU memory (stages 1 to 3, `engine` deepspeed)."""
    offload_parameters: bool = False
    """Keep parameters in CPU memory (stage 3, `engine` deepspeed)."""

    @property
    def reduces_once(self) -> bool:
        """Whether gradients stay local until the step's last row."""
        return self.stage < 2 if self.reduce == "auto" else self.reduce == "step"


@dataclass(kw_only=True)
class TrainConfig:
    """One training of one reward model."""

    model: str = "model"
    """The folder to start from: a backbone (a new head is made), or an exported reward model (its head is kept)."""
    data: str = "shards"
    """The folder that preprocessing wrote."""
    output: str = "train"
    """The folder for checkpoints and job state; the finished model goes to ``export`` below it."""
    paradigm: str = one_of("scalar", PARADIGMS)
    """scalar: a reward of a response; critic: of a response and of a critique that the model writes of it first;
    generative: the model reads two responses and says which is better."""
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
    engine: str = one_of("deepspeed", tuple(METHODS))
    """What shards the training state: deepspeed (ZeRO), or fsdp (PyTorch's FSDP2, which sends while it computes)."""
    zero: ZeroConfig = field(default_factory=ZeroConfig)
    """Sharding of the training state."""
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    """Optimiser and schedule."""
    global_batch: int = bounded(128, at_least=1)
    """Comparisons an optimiser step, over all workers; the order of data does not depend on the number of workers."""
    global_batch_unit: str = one_of("comparisons", ("comparisons", "pairs"))
    """What `global_batch` counts: ``comparisons`` (a group of one prompt is one), or judged ``pairs``, so that a step
    of groups is as large as one of the same records apart."""
    token_budget: int = bounded(8192, at_least=1)
    """Tokens a packed row holds at most; a row is one micro-batch of one worker."""
    patch_budget: int = bounded(32768, at_least=0)
    """Vision patches (14 x 14 pixels, with Qwen3-VL 16 x 16) a packed row holds at most."""
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
    """Also keep so many of the best by `best_metric`."""
    keep_checkpoint_every: int = bounded(0, at_least=0)
    """Also keep every checkpoint whose step is a multiple of this; 0: none for that."""
    checkpoint_retry_s: float = bounded(600.0, at_least=0)
    """Seconds for which a checkpoint is written again where a remote store fails, beside the training."""
    read_retry_s: float = bounded(600.0, at_least=0)
    """Seconds that a worker waits for a remote store that fails while data, model or checkpoints are read."""
    log_every: int = bounded(10, at_least=1)
    """Optimiser steps between two points of the metrics."""
    evaluate_every: int = bounded(0, at_least=0)
    """Optimiser steps between two evaluations on held-out Comparisons; the last step always evaluates; 0: none."""
    evaluate_limit: int | None = bounded(None, at_least=1)
    """Held-out Comparisons of each of these evaluations, spread evenly over the split; unset: all."""
    evaluate_suites: list[str] = field(default_factory=list)
    """Published benchmarks to evaluate on too, every row of them; the section evaluate says where they are."""
    best_metric: str = TRAINING_LOSS
    """What says which weights are the best: ``train/loss``, the mean since the checkpoint before, or a number that
    evaluations log: ``eval/accuracy``, ``eval/log_loss``, ``eval/by_source/NAME``, ``suite/NAME/NUMBER``, ..."""
    export_weights: str = one_of("last", ("last", "best"))
    """Which weights become the model: those of the ``last`` step, or of the ``best`` checkpoint that is kept."""
    early_stopping: int = bounded(0, at_least=0)
    """End the training after so many evaluations in a row that did not better the best `best_metric`; 0: never."""
    stop_grace_s: float = bounded(120.0, at_least=0)
    """Seconds that the group has, after SIGTERM or Ctrl-C, for its step and a checkpoint, before it is killed."""
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    """What is minimised."""
    generative: GenerativeConfig = field(default_factory=GenerativeConfig)
    """What a reward model is asked whose `paradigm` is generative."""
    critic: CriticConfig = field(default_factory=CriticConfig)
    """What is minimised beside it, where `paradigm` is critic."""
    weights: WeightsConfig = field(default_factory=WeightsConfig)
    """Which groups of weights train, and at which rates."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """The adapters of groups that train by LoRA."""
    stages: list[StageConfig] = field(default_factory=list)
    """Parts of the training, one after the other; empty: one of everything, by `epochs` or `max_steps`."""
    attention: str = one_of("auto", ("auto", "sdpa", "flex", "flash"))
    """Attention kernel: auto (flex on a GPU, else sdpa), sdpa, flex or flash; training stops if another one ran."""
    activation_checkpointing: str = one_of("none", ("none", "selective", "full"))
    """What of a layer's activations is made again in the backward pass: none; selective (all but the outputs of matrix
    products and of attention, which are kept); or full (all of them)."""
    compile: str = one_of("auto", ("auto", "parts", "none"))
    """What torch.compile makes kernels of: parts (of every layer, what is before and after its attention), none, or
    auto (parts on a GPU, else none)."""
    language_loss: str = one_of("auto", ("auto", "chunked", "liger"))
    """What computes the loss of critiques and verdicts: chunked, by PyTorch; liger, Liger-Kernel's kernel on a GPU, at
    `zero.stage` 0 to 2; or auto (liger where it can run, else chunked)."""
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


def minimised(config: TrainConfig) -> str:
    """What a training minimises, in words for pages: ``bradley_terry``, of a critic also of its critiques."""
    if config.paradigm == "generative":
        reasons = config.generative.form == "reasoning"
        return "-log P of reasonings and right verdicts" if reasons else "-log P of right verdicts"
    critiques = " and -log P of critiques" if config.paradigm == "critic" else ""
    return f"{config.objective.name}{critiques}"


def sharding(config: TrainConfig) -> str:
    """How the training state is shared, in words for pages: ``ZeRO stage 2``, ``FSDP stage 3``."""
    return f"{METHODS[config.engine]} stage {config.zero.stage}"
