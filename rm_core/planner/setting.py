"""The settings of a recipe that decide memory and time; proposals change them."""

from dataclasses import dataclass
from typing import Self

from rm_core.train_config.config import METHODS, TrainConfig, ZeroConfig

__all__ = ["Row", "Setting"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """The largest packed row that one GPU computes at once.

    Attributes:
        tokens: of the decoder, image tokens and fillers included.
        patches: of the vision tower.
        pooled: tokens that the head reads.
    """

    tokens: int
    patches: int
    pooled: int = 0


@dataclass(frozen=True, kw_only=True)
class Setting:
    """How a training runs on its GPUs; the keys of `train` that proposals change, and those that count beside them.

    Attributes:
        gpus: workers, a GPU each.
        gpus_per_node: of one machine, whose memory they share.
        stage: of ZeRO, 0 to 3.
        engine: ``deepspeed`` or ``fsdp``.
        reduce: when gradients are sent: ``auto``, ``row`` or ``step``.
        shard_size: GPUs that share one copy of the state; 0: all.
        hpz_partition_size: GPUs that share a second copy of the weights; 1: there is none.
        highest_stage: of the stages that other keys of the recipe allow.
        offload_optimizer, offload_parameters: into CPU memory.
        recompute: ``none``, ``selective`` or ``full``.
        precision: ``bf16`` or ``fp32``.
        kernel: of attention: ``flex``, ``flash`` or ``sdpa``.
        token_budget, patch_budget: of a packed row.
        pools_all: the head reads all tokens of a response, and not its last one alone.
        global_batch: Comparisons a step.
        checkpoint_every: steps between two checkpoints.
        fused: RMSNorms are one kernel and the tower's MLP is padded, as on GPUs.
    """

    gpus: int
    gpus_per_node: int
    stage: int
    offload_optimizer: bool
    offload_parameters: bool
    recompute: str
    precision: str
    kernel: str
    token_budget: int
    patch_budget: int
    pools_all: bool
    global_batch: int
    checkpoint_every: int
    engine: str = "deepspeed"
    reduce: str = "auto"
    shard_size: int = 0
    hpz_partition_size: int = 1
    highest_stage: int = 3
    fused: bool = True

    @classmethod
    def of(cls, config: TrainConfig, *, gpus: int | None = None, gpus_per_node: int = 8) -> Self:
        """The setting of a recipe, on `gpus` GPUs in the place of its own number of workers."""
        return cls(
            gpus=config.num_workers if gpus is None else gpus,
            gpus_per_node=gpus_per_node,
            stage=config.zero.stage,
            offload_optimizer=config.zero.offload_optimizer,
            offload_parameters=config.zero.offload_parameters,
            recompute=config.activation_checkpointing,
            precision=config.precision,
            kernel="flex" if config.attention == "auto" else config.attention,
            token_budget=config.token_budget,
            patch_budget=config.patch_budget,
            pools_all=config.head.pooling == "mean",
            global_batch=config.global_batch,
            checkpoint_every=config.checkpoint_every,
            engine=config.engine,
            reduce=config.zero.reduce,
            shard_size=config.zero.shard_size,
            hpz_partition_size=config.zero.hpz_partition_size,
            highest_stage=2 if config.language_loss == "liger" else 3,
        )

    @property
    def zero(self) -> ZeroConfig:
        """The section `train.zero` of a recipe with this setting."""
        return ZeroConfig(
            stage=self.stage,
            reduce=self.reduce,
            shard_size=self.shard_size,
            hpz_partition_size=self.hpz_partition_size,
            offload_optimizer=self.offload_optimizer,
            offload_parameters=self.offload_parameters,
        )

    @property
    def method(self) -> str:
        """Whose stages these are: ``ZeRO`` or ``FSDP``."""
        return METHODS[self.engine]

    @property
    def reduces_once(self) -> bool:
        """Whether gradients stay local until the step's last row."""
        return self.zero.reduces_once

    @property
    def sharing(self) -> int:
        """GPUs that share one copy of the state."""
        return self.shard_size or self.gpus

    @property
    def itemsize(self) -> int:
        """Bytes of a weight or an activation in the engine's type."""
        return 2 if self.precision == "bf16" else 4

    @property
    def local_gpus(self) -> int:
        """GPUs of the fullest machine."""
        return min(self.gpus, self.gpus_per_node)

    @property
    def row(self) -> Row:
        """The largest row that the budgets allow."""
        return Row(tokens=self.token_budget, patches=self.patch_budget, pooled=self.token_budget * self.pools_all)
