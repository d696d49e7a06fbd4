"""Bytes that FSDP keeps on one rank: float32 shards, gathered weights, moments, gradients, and what flows.

What PyTorch 2.13's FSDP2 allocates under `rm_core.training.engines.fsdp`, read from its sources and measured on real
ranks (`tests/distributed/test_planner_memory.py`, and `tests/distributed/test_planner_flow.py` while a row runs).
P trained weights, F frozen ones, S ranks that share them, w bytes of a weight (2 in bf16); units and the root are those
of `rm_core.planner.units`:

    stage   shards               gathered                       moments   gradients over a step
    1, 2    4 P / S + w F / S    w (P + F), from a step's       8 P / S   4 P sent once a step, 4 P / S each row
                                 first row to its last
    3       4 P / S + w F / S    by units, see below            8 P / S   likewise

In fp32 the shards are the weights. A step of one row keeps no whole gradients even where they are sent once a step;
they are counted. While a row runs there are beside them, with U for a unit's weights, t for those of it that train, h
ranks of a second copy:

    a unit's backward pass    its gradients w t, the sums that the unit before sends 4 t; at stage 3 its weights w U,
                              and the flat buffer in which the next unit's come w U
    behind it                 its sums 4 t, and its gradients w t or what comes back 4 t / S; at stage 3 that buffer
    all along                 the root's gradients; at stage 3 its weights, and what is left of the second copy
    a unit's forward pass     two flat buffers; at stage 3 also its weights w U, the root's and the second copy, w / h
                              of all units; at the others in a step's first row alone, before there are gradients

The unit for which that is most counts. Gradients that are sent once a step stay where they are until then: sums take
their place, and at stages 1 and 2 that of the weights. Embeddings and root send theirs when the backward pass is over
and activations are gone: that is counted as `step`, like their forward pass.
Zhao et al. 2023, "PyTorch FSDP" (arXiv 2304.11277).
"""

from collections.abc import Sequence
from itertools import pairwise

from rm_core.planner.architecture import Architecture
from rm_core.planner.kept import States
from rm_core.planner.setting import Setting
from rm_core.planner.units import Unit, Units

__all__ = ["fsdp_states"]


def fsdp_states(arch: Architecture, setting: Setting) -> States:
    """Bytes of the states of `arch` on one rank under `setting`."""
    sizes = _Sizes(setting)
    units = arch.units
    trained = sum(unit.trained_share(sizes.ranks) for unit in units.all)
    frozen = setting.itemsize * sum(unit.frozen_share(sizes.ranks) for unit in units.all)
    gradients = 4 * (arch.trained_numel if setting.reduces_once else trained)
    gathered = 0 if sizes.by_unit else sum(map(sizes.gathered, units.all))
    return States(
        weights=frozen + gathered,
        masters=4 * trained,
        moments=8 * trained,
        gradients=gradients,
        buffers=0,
        backward=_in_a_row(units, sizes, gradients),
        step=_behind_a_row(units, sizes, gradients),
        # A unit's weights come whole from host memory, and then are cut.
        start=4 * trained + frozen + max(4 * unit.trained_numel + sizes.frozen(unit) for unit in units.all),
        host=0,
    )


class _Sizes:
    """Bytes of what there is of a unit for a while.

    Attributes:
        ranks: that share the weights.
        by_unit: whether units are gathered as they are needed, and not all of them for a step.
        once: whether gradients are sent once a step.
    """

    def __init__(self, setting: Setting) -> None:
        self.ranks = setting.sharing
        self.by_unit = setting.stage == 3
        self._itemsize = setting.itemsize
        self.once = setting.reduces_once
        self._second = setting.hpz_partition_size

    def gathered(self, unit: Unit) -> int:
        """Its weights, as filled up as they were sent."""
        return self._itemsize * unit.gathered(self.ranks)

    def flat(self, unit: Unit) -> int:
        """The buffer in which they come; one rank alone has none."""
        return self.gathered(unit) if self.ranks > 1 else 0

    def coming(self, units: Sequence[Unit], gradients: int) -> int:
        """When the last of `units` has come, and the buffer of the one before is still there.

        Args:
            gradients: kept over a step; weights that stay come before they are there.
        """
        flat = sum(map(self.flat, units))
        return flat + self.gathered(units[-1]) if self.by_unit else max(0, flat - gradients)

    def second(self, unit: Unit) -> int:
        """A rank's part of their second copy."""
        return self.gathered(unit) // self._second if self.by_unit and self._second > 1 else 0

    def frozen(self, unit: Unit) -> int:
        """Those that stand still."""
        return self._itemsize * (unit.numel - unit.trained_numel)

    def gradients(self, unit: Unit) -> int:
        """As its backward pass makes them."""
        return self._itemsize * unit.trained_numel

    def sent(self, unit: Unit) -> int:
        """Sums in float32 on their way."""
        return 4 * self.ranks * unit.trained_share(self.ranks)

    def received(self, unit: Unit) -> int:
        """The rank's part of the sums over ranks."""
        return 4 * unit.trained_share(self.ranks)

    def sending(self, unit: Unit) -> int:
        """Its sums with the gradients that they are made of, or with what comes back of them.

        Those of a whole step are kept already, and are sent when the unit's gathered weights are gone.
        """
        if self.once:
            return self.sent(unit) - (0 if self.by_unit else self.gathered(unit))
        return self.sent(unit) + max(self.gradients(unit), self.received(unit))

    def left(self, unit: Unit) -> int:
        """Of its sums while the next unit runs; those of a whole step stand where its gradients and weights were."""
        if not self.once:
            return self.sent(unit)
        return max(0, self.received(unit) - (0 if self.by_unit else self.gathered(unit)))


def _in_a_row(units: Units, sizes: _Sizes, gradients: int) -> int:
    """The most while activations are there."""
    root = sizes.gathered(units.root) if sizes.by_unit else 0
    second = sum(map(sizes.second, (*units.tables, *units.inner)))
    forward = max(sizes.coming(pair, gradients) for pair in pairwise((units.inner[0], *units.inner)))
    return root + max(second + forward, sizes.gradients(units.root) + _backward(units, sizes, second))


def _backward(units: Units, sizes: _Sizes, second: int) -> int:
    """From the last unit to the first: each while it runs, and behind it; their second copies go one by one."""
    found, before = [0], None
    order = [unit for unit in reversed(units.inner) if unit.again]
    for unit, after in zip(order, (*order[1:], None), strict=True):
        second -= sizes.second(unit)
        ahead = second + (sizes.flat(after) if sizes.by_unit and after else 0)
        running = sizes.gradients(unit) + (sizes.gathered(unit) if sizes.by_unit else 0)
        found.append(ahead + running + (sizes.left(before) if before else 0))
        found.append(ahead + sizes.sending(unit))
        before = unit
    return max(found)


def _behind_a_row(units: Units, sizes: _Sizes, gradients: int) -> int:
    """The most while they are not: when root and embeddings come, and when they send."""
    ends = (units.root, *units.tables)
    come = sizes.coming(ends, gradients) + (sizes.gathered(units.root) if sizes.by_unit and units.tables else 0)
    made = sum(map(sizes.gradients, ends)) + (sum(map(sizes.gathered, units.tables)) if sizes.by_unit else 0)
    if sizes.once:
        return max(come, made)
    of_tables = [sizes.gradients(unit) + sizes.sent(unit) + sizes.received(unit) for unit in units.tables]
    return max(come, made + sizes.sent(units.root), sum(of_tables))
