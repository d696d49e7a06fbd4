"""Where the FSDP engine keeps what an optimiser step changes: a rank's rows of each weight, and their moments.

Under a mesh with replicas the ranks that hold the same rows share the keeping of them evenly, and each reads all.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rm_core.checkpoints.fragments import Fragment, even_share
from rm_core.training.engines.fsdp_shards import Shard
from rm_core.training.engines.interface import MASTER, MOMENTS, ReadRange
from rm_core.training.engines.optimizer import make_moments, updates_of

__all__ = ["FsdpMasters", "FsdpState"]


@dataclass(frozen=True, slots=True)
class FsdpState:
    """Reads and writes the shards of one rank.

    Attributes:
        shards: those that train.
        replica: (number, count) of this rank among those that hold the same rows.
        reshard: drops gathered weights, which are made of the shards as they were.
    """

    shards: Sequence[Shard]
    optimizer: torch.optim.Optimizer
    replica: tuple[int, int]
    reshard: Callable[[], None]

    def fragments(self) -> Iterator[tuple[Fragment, dict[str, Tensor]]]:
        """What this rank has to keep: views, 1-D float32, kind -> values. All ranks' together cover every parameter
        once.

        Before the first step of an optimiser, and with one that keeps no moments, only `MASTER`.
        """
        for shard in self.shards:
            offset, numel = even_share(shard.local.numel(), *self.replica)
            if numel:
                values = {kind: value.narrow(0, offset, numel) for kind, value in self._values(shard).items()}
                yield Fragment(shard.name, shard.start + offset, numel), values

    def num_updates(self) -> int:
        """Steps that the optimiser has taken, which its bias correction counts; 0 where it does not count."""
        return updates_of(self.optimizer)

    def fill(self, read: ReadRange, kinds: Sequence[str], num_updates: int) -> None:
        """Set this rank's shards from `read`; no communication. `refresh` has to follow on all ranks."""
        self.optimizer.state.clear()
        for shard in self.shards:
            if set(MOMENTS) <= set(kinds):
                make_moments(self.optimizer, shard.local, num_updates)
            for kind, values in self._values(shard).items():
                if values.numel():
                    values.copy_(read(kind, shard.name, shard.start, values.numel()))

    def refresh(self) -> None:
        """Let the next row gather the weights anew."""
        self.reshard()

    def _values(self, shard: Shard) -> dict[str, Tensor]:
        state = self.optimizer.state.get(shard.local, {})
        moments = {kind: state[kind].view(-1) for kind in MOMENTS if kind in state}
        return {MASTER: shard.local.detach().view(-1)} | moments


@dataclass(frozen=True, slots=True)
class FsdpMasters:
    """Access to this rank's rows of weights and first moments; nothing is copied or communicated.

    Attributes:
        shards: by `id` of their parameter.
    """

    shards: dict[int, Shard]
    optimizer: torch.optim.Optimizer

    def weights(self, parameter: nn.Parameter) -> Tensor:
        """The rank's rows, float32 where they are trained; there may be none."""
        return self.shards[id(parameter)].local.detach()

    def keeps_moments(self) -> bool:
        """Whether the optimiser keeps Adam's first moments, once it has stepped; the same on every rank."""
        return any(MOMENTS[0] in state for state in self.optimizer.state.values())

    def first_moment(self, parameter: nn.Parameter) -> Tensor | None:
        """The running mean of the gradients of the rank's rows; None before the first step."""
        moment: Tensor | None = self.optimizer.state.get(self.shards[id(parameter)].local, {}).get(MOMENTS[0])
        return moment
