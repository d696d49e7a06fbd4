"""Where DeepSpeed keeps what an optimiser step changes: float32 weights and Adam's moments, by parameter and range.

Attributes of DeepSpeed 0.19's optimisers, read without importing it. Flat tensors, of which a parameter has a piece:

    stage 0     the parameter itself, equal on all ranks: each keeps an even share of it, and all read the whole
    stage 1, 2  a rank's partition of each group of parameters: the piece by `_hp_mapping`
    stage 3     a rank's partitions of each sub-group's parameters: the piece by `grad_position`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from rm_core.checkpoints.fragments import Fragment, even_share
from rm_core.training.engines.interface import MASTER, MOMENTS, ReadRange
from rm_core.training.engines.optimizer import make_moments, updates_of

__all__ = ["ZeroState"]


@dataclass(frozen=True, slots=True)
class _Piece:
    """Elements `start` to `start` + `numel` of a flat parameter lie in `flat` from `offset` on."""

    flat: Tensor
    offset: int
    start: int
    numel: int

    def of(self, flat: Tensor) -> Tensor:
        """The piece's part of `flat`, the weights or a moment laid out like them; a view."""
        return flat.detach().view(-1).narrow(0, self.offset, self.numel)


class ZeroState:
    """Reads and writes the shards of one rank.

    Args:
        stage: ZeRO stage, 0 to 3.
        optimizer: the one that DeepSpeed made (``engine.optimizer``); plain torch's at stage 0.
        parameters: names and parameters that train, in the same order on all ranks.
    """

    def __init__(
        self, stage: int, optimizer: Any, parameters: Sequence[tuple[str, nn.Parameter]], *, rank: int, world_size: int
    ) -> None:
        self._stage = stage
        self._optimizer = optimizer
        self._inner: Any = optimizer if stage == 0 else optimizer.optimizer
        self._parameters = parameters
        self._rank = rank
        self._world_size = world_size

    def fragments(self) -> Iterator[tuple[Fragment, dict[str, Tensor]]]:
        """What this rank has to keep: views, 1-D float32, kind -> values. All ranks' together cover every parameter.

        Before the first step of an optimiser, and with one that keeps no moments, only `MASTER`.
        """
        for name, parameter in self._parameters:
            piece = self._piece(parameter)
            if piece is None:
                continue
            if self._stage == 0:
                start, numel = even_share(piece.numel, self._rank, self._world_size)
                piece = _Piece(piece.flat, start, start, numel)
            if piece.numel:
                yield Fragment(name, piece.start, piece.numel), self._values(piece)

    def num_updates(self) -> int:
        """Steps that the optimiser has taken, which its bias correction counts; 0 where it does not count."""
        return updates_of(self._inner)

    def fill(self, read: ReadRange, kinds: Sequence[str], num_updates: int) -> None:
        """Set this rank's shards from `read`; no communication. `refresh` has to follow on all ranks.

        Args:
            kinds: what there is to read: `MASTER`, and the moments where they were kept.
            num_updates: for the bias correction.
        """
        self._clear_moments()
        for name, parameter in self._parameters:
            piece = self._piece(parameter)
            if piece is None or piece.numel == 0:
                continue
            if set(MOMENTS) <= set(kinds):
                make_moments(self._inner, piece.flat, num_updates)
            for kind, values in self._values(piece).items():
                values.copy_(read(kind, name, piece.start, piece.numel))

    def refresh(self) -> None:
        """Make the weights that the model computes with from the float32 ones; a collective call."""
        if self._stage in (1, 2):
            self._optimizer.update_lp_params()
        elif self._stage == 3:
            self._optimizer._partition_all_parameters()
            for group in range(len(self._optimizer.fp16_groups)):
                self._optimizer._reassign_or_swap_out_partitioned_parameters(group)
            self._optimizer._post_step(set())  # gathers the small parameters that every rank keeps whole

    def _piece(self, parameter: Any) -> _Piece | None:
        if self._stage == 0:
            return _Piece(parameter, 0, 0, parameter.numel())
        if self._stage < 3:
            mapping = parameter._hp_mapping
            if mapping is None:
                return None
            flat = self._inner.param_groups[mapping.param_group_index]["params"][0]
            return _Piece(
                flat, mapping.hp_fragment_address.start, mapping.lp_fragment_address.start,
                mapping.hp_fragment_address.numel,
            )  # fmt: skip
        zero = self._optimizer
        group, offset, size = zero.grad_position[zero.get_param_id(parameter)]
        start = size * zero._get_param_partition_rank(parameter)
        # The last partition is filled up to the size of the others.
        return _Piece(
            zero.fp32_partitioned_groups_flat[group], offset, start, max(0, min(size, parameter.ds_numel - start))
        )

    def _values(self, piece: _Piece) -> dict[str, Tensor]:
        state = self._inner.state.get(piece.flat, {})
        moments = {kind: piece.of(state[kind]) for kind in MOMENTS if kind in state}
        return {MASTER: piece.of(piece.flat)} | moments

    def _clear_moments(self) -> None:
        self._inner.state.clear()
