"""Where DeepSpeed keeps the float32 weights that the optimiser works on, and its first moments.

Attributes of DeepSpeed 0.19's parameters, read without importing it. Shards of all ranks together cover a parameter.

    stage 0     the parameter itself                             the optimiser's own state
    stage 1, 2  a fragment of the flat group: `_hp_mapping`      its fragment of the state
    stage 3     a partition: `_z3_optimizer`                     its partition of the state
    not trained: the parameter itself, at stage 3 its partition `ds_tensor`
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["ZeroMasters"]

_MOMENT = "exp_avg"


@dataclass(frozen=True, slots=True)
class ZeroMasters:
    """Access to this rank's shards; nothing is copied or communicated.

    Args:
        stage: ZeRO stage, 0 to 3.
        optimizer: the one that DeepSpeed made (``engine.optimizer``).
    """

    stage: int
    optimizer: Any

    def weights(self, parameter: nn.Parameter) -> Tensor | None:
        """The rank's part, flat or not, float32 where it is trained; None where it holds none."""
        if not parameter.requires_grad:
            return _frozen(parameter)
        return self._shard(parameter, None) if self.stage else parameter.detach()

    def keeps_moments(self) -> bool:
        """Whether the optimiser keeps Adam's first moments, once it has stepped; the same on every rank."""
        inner = getattr(self.optimizer, "optimizer", self.optimizer)
        return any(_MOMENT in state for state in inner.state.values())

    def first_moment(self, parameter: nn.Parameter) -> Tensor | None:
        """The rank's part of the running mean of a trained parameter's gradients; None where it holds none.

        All zero on every rank after the first step: no gradient has reached the parameter.
        """
        if self.stage:
            return self._shard(parameter, _MOMENT)
        moment: Tensor | None = self.optimizer.state.get(parameter, {}).get(_MOMENT)
        return moment

    def _shard(self, parameter: Any, key: str | None) -> Tensor | None:
        if self.stage == 3:
            partition: Tensor = parameter._z3_optimizer.get_local_fp32_param(parameter, key)
            return partition.detach()
        fragment = parameter._hp_mapping
        if fragment is None:
            return None
        if key is None:
            weights: Tensor = fragment.get_hp_fragment()
            return weights.detach()
        # Not by `get_hp_fragment(key)`: DeepSpeed links the states of all groups after the step of the first one.
        inner = self.optimizer.optimizer
        flat = inner.param_groups[fragment.param_group_index]["params"][0]
        address = fragment.get_hp_fragment_address()
        state: Tensor = inner.state[flat][key].narrow(0, address.start, address.numel)
        return state


def _frozen(parameter: Any) -> Tensor:
    tensor: Tensor = getattr(parameter, "ds_tensor", parameter)
    return tensor.detach()
