"""What the trainer, its checkpoints and its audit see of an engine, whoever shards the model."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rm_core.batches.packed import PackedBatch
from rm_core.checkpoints.fragments import Fragment
from rm_core.model.reward_model import Output

__all__ = ["MASTER", "MOMENTS", "Engine", "MasterWeights", "ReadRange", "ShardedState"]

MASTER = "master"
MOMENTS = ("exp_avg", "exp_avg_sq")

ReadRange = Callable[[str, str, int, int], Tensor]
"""(kind, parameter's name, start, numel) -> float32 [numel] of the flat parameter."""


class ShardedState(Protocol):
    """A rank's shards of what an optimiser step changes: float32 weights and Adam's moments, by parameter and range.

    What is kept does not know how many ranks there were, nor how they shared it: any other group, of any engine, reads
    the ranges that it needs.
    """

    def fragments(self) -> Iterator[tuple[Fragment, dict[str, Tensor]]]:
        """What this rank has to keep: views, 1-D float32, kind -> values. All ranks' together cover every parameter
        once.

        Before the first step of an optimiser, and with one that keeps no moments, only `MASTER`.
        """

    def num_updates(self) -> int:
        """Steps that the optimiser has taken, which its bias correction counts; 0 where it does not count."""

    def fill(self, read: ReadRange, kinds: Sequence[str], num_updates: int) -> None:
        """Set this rank's shards from `read`; no communication. `refresh` has to follow on all ranks.

        Args:
            kinds: what there is to read: `MASTER`, and the moments where they were kept.
            num_updates: for the bias correction.
        """

    def refresh(self) -> None:
        """Make the weights that the model computes with from the float32 ones; a collective call."""


class MasterWeights(Protocol):
    """A rank's shards of the float32 weights and first moments, to look at; nothing is copied or communicated.

    Shards of all ranks together cover a parameter.
    """

    def weights(self, parameter: nn.Parameter) -> Tensor | None:
        """The rank's part, flat or not, float32 where it is trained; None where it holds none."""

    def keeps_moments(self) -> bool:
        """Whether the optimiser keeps Adam's first moments, once it has stepped; the same on every rank."""

    def first_moment(self, parameter: nn.Parameter) -> Tensor | None:
        """The rank's part of the running mean of a trained parameter's gradients; None where it holds none.

        All zero on every rank after the first step: no gradient has reached the parameter.
        """


class Engine(Protocol):
    """A model whose training state is shared by the ranks; made on every rank."""

    @property
    def device(self) -> torch.device:
        """Where this rank computes."""

    @property
    def world_size(self) -> int:
        """Ranks of the training."""

    @property
    def world_rank(self) -> int:
        """Which of them this one is."""

    @property
    def learning_rates(self) -> dict[str, float]:
        """The rate that the next step takes for each part of the model that trains."""

    @property
    def masters(self) -> MasterWeights:
        """Access to this rank's shards of the float32 weights and first moments."""

    @property
    def state(self) -> ShardedState:
        """Access to this rank's shards of weights and moments."""

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Names and parameters as `masters` knows them, in the same order on every rank."""

    def forward(self, batch: PackedBatch) -> Tensor:
        """The model's rewards of one packed row, whatever targets it names."""

    def outputs(self, batch: PackedBatch) -> Output:
        """The same, with the costs of the row's targets."""

    def backward(self, loss: Tensor, *, last_row: bool = True) -> None:
        """Add the gradient of `loss` to the step's. The engine averages over ranks, so a sum over ranks needs `loss`
        times the world size.

        Args:
            last_row: whether the step follows. An engine that keeps gradients local until then sends them now.
        """

    def step(self) -> float:
        """Reduce, clip, update, advance the schedule; returns the gradient norm before clipping.

        Where the norm is not finite, weights and moments stay as they are, and only the schedule advances.
        """

    def replicas(self) -> Iterator[tuple[str, Tensor]]:
        """Weights, or this rank's part of them, of which other ranks hold a copy; none where all ranks share one."""

    @property
    def copy_group(self) -> dist.ProcessGroup | None:
        """The ranks that hold a copy together, each its part; None: each holds a whole one."""

    @property
    def num_steps(self) -> int:
        """Steps of the schedule that were taken."""

    def go_to(self, num_steps: int) -> None:
        """Set the schedule as it is after `num_steps` steps."""

    def weights(self) -> Iterator[tuple[str, Tensor]]:
        """Consolidated weights on the CPU, in the type that the model computes in, one parameter at a time; a
        collective call, data on world rank 0 only.
        """
