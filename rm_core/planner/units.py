"""Weights by the units in which FSDP gathers, shards and sends them: `rm_core.model.units`."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from torch import nn

from rm_core.model.decoder import PackedLayer
from rm_core.model.reward_model import RewardModel
from rm_core.model.units import large_tables, units_of_model

__all__ = ["Unit", "Units", "Weight", "units_of"]


class Weight(NamedTuple):
    """Sizes of one parameter, which ranks share by its rows."""

    rows: int
    numel: int

    def share(self, ranks: int) -> int:
        """Elements of a rank, filled up to those of the first: of 10 rows on 4 ranks, 3 rows."""
        return -(-self.rows // ranks) * (self.numel // self.rows)


@dataclass(frozen=True)
class Unit:
    """What is gathered at once.

    Attributes:
        trained, frozen: its weights.
        again: whether its backward pass is run, and gathers it once more.
    """

    trained: tuple[Weight, ...]
    frozen: tuple[Weight, ...]
    again: bool

    @property
    def trained_numel(self) -> int:
        return sum(weight.numel for weight in self.trained)

    @property
    def numel(self) -> int:
        return self.trained_numel + sum(weight.numel for weight in self.frozen)

    def trained_share(self, ranks: int) -> int:
        """Elements of what trains that a rank has."""
        return sum(weight.share(ranks) for weight in self.trained)

    def frozen_share(self, ranks: int) -> int:
        """Elements of what stands still that a rank has."""
        return sum(weight.share(ranks) for weight in self.frozen)

    def gathered(self, ranks: int) -> int:
        """Elements of all its weights, as filled up as they are sent."""
        return ranks * (self.trained_share(ranks) + self.frozen_share(ranks))


@dataclass(frozen=True)
class Units:
    """All weights of a model.

    Attributes:
        root: is gathered for a whole row; its gradients are sent when the backward pass is over.
        tables: embeddings, which are the last to be run backward, and sent likewise; none where the root has them.
        inner: decoder layers, blocks of the tower, the language head.
    """

    root: Unit
    tables: tuple[Unit, ...]
    inner: tuple[Unit, ...]

    @property
    def all(self) -> tuple[Unit, ...]:
        return (self.root, *self.tables, *self.inner)

    @property
    def again_numel(self) -> int:
        """Of what stage 3 gathers once more for the backward pass."""
        return sum(unit.numel for unit in (*self.tables, *self.inner) if unit.again)


def units_of(model: RewardModel, *, decoder_runs_backward: bool) -> Units:
    """The units of `model`, on whatever device.

    Args:
        decoder_runs_backward: anything trains but the reward head.
    """
    tables = large_tables(model)[:1]
    parts = units_of_model(model)
    inside = {id(value) for part in parts for value in part.parameters()}

    def runs_backward(part: nn.Module) -> bool:
        whole = isinstance(part, PackedLayer) or part is model.lm_head
        return (whole and decoder_runs_backward) or any(value.requires_grad for value in part.parameters())

    return Units(
        root=_unit([value for value in model.parameters() if id(value) not in inside], again=False),
        tables=tuple(_unit(part.parameters(), again=runs_backward(part)) for part in tables),
        inner=tuple(_unit(part.parameters(), again=runs_backward(part)) for part in parts if part not in tables),
    )


def _unit(parameters: Iterable[nn.Parameter], *, again: bool) -> Unit:
    sizes = [(value.requires_grad, Weight(len(value) if value.ndim else 1, value.numel())) for value in parameters]
    return Unit(
        trained=tuple(size for trains, size in sizes if trains),
        frozen=tuple(size for trains, size in sizes if not trains),
        again=again,
    )
