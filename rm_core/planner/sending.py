"""What a GPU sends in a step, by stage and engine: bytes, and the seconds of them that computing does not hide.

A ring of N ranks sends (N - 1) / N of a tensor for a gather or a scatter, twice that for an all-reduce. With P trained
weights and F frozen ones, w bytes of a weight, S ranks that share the state, h that share a second copy of weights:

    DeepSpeed 0    an all-reduce of gradients w P a step
              1    an all-reduce of gradients and a gather of weights w P a step
              2    an all-reduce of gradients w P a row (DeepSpeed sums whole buckets on all ranks and keeps its part),
                   and a gather w P a step
              3    two gathers w (P + F) and a scatter of gradients w P a row; with a second copy all gathers but a
                   step's first among its h ranks, since it stays until the step changes the weights
    FSDP 1, 2      a gather w (P + F) a step
         3         two gathers w (P + F) a row, but for the root, and for parts that are not run backward, one; with a
                   second copy the later one among its h ranks
         all       a scatter of float32 gradients 4 P a row, or a step (`zero.reduce`); where S ranks are not all, an
                   all-reduce of a rank's 4 P / S with the others that have it, once a step

Ranks of a node that share something send it over the node's link, and others over the slower of link and network.

DeepSpeed's calls hide behind nothing, as the engine is configured. FSDP sends on streams of its own: gathers for a
forward pass hide behind that row's forward pass, the later ones and gradients behind that row's backward pass; what
takes longer is waited for. That they hide so well is an assumption, which no GPU has measured yet.
"""

from typing import NamedTuple

from rm_core.planner.architecture import Architecture
from rm_core.planner.config import PlanConfig
from rm_core.planner.gpus import Gpu
from rm_core.planner.setting import Setting

__all__ = ["Sending", "Sent", "evaluation_sending_s", "sending_of", "sent_of"]


class Sent(NamedTuple):
    """Bytes that a GPU sends in a step.

    Attributes:
        gathers: of weights, among the ranks that share them.
        again: of weights for backward passes; from the second copy, where there is one.
        gradients: among the ranks that share the state.
        replicas: of gradients, between ranks that hold copies of the same state.
    """

    gathers: float
    again: float
    gradients: float
    replicas: float

    @property
    def total(self) -> float:
        return sum(self)


def sent_of(arch: Architecture, setting: Setting, rows: int) -> Sent:
    """Bytes of a step in which each rank has `rows`.

    Args:
        arch: `numel`, `trained_numel` and `again_numel` are read.
        setting: `engine`, `stage`, `gpus`, `sharing`, `itemsize`, `reduces_once` and `hpz_partition_size` are read.
    """
    return (_sent_by_fsdp if setting.engine == "fsdp" else _sent_by_deepspeed)(arch, setting, rows)


def _sent_by_deepspeed(arch: Architecture, setting: Setting, rows: int) -> Sent:
    share, size, copies = _ring(setting.gpus), setting.itemsize, setting.hpz_partition_size
    trained, weights = share * size * arch.trained_numel, size * arch.numel
    if setting.stage < 3:
        sums = rows if setting.stage == 2 else 1
        return Sent(gathers=trained if setting.stage else 0, again=0, gradients=sums * 2 * trained, replicas=0)
    if copies > 1:
        again = (2 * rows - 1) * _ring(copies) * weights
        return Sent(gathers=share * weights, again=again, gradients=rows * trained, replicas=0)
    return Sent(gathers=rows * share * weights, again=rows * share * weights, gradients=rows * trained, replicas=0)


def _sent_by_fsdp(arch: Architecture, setting: Setting, rows: int) -> Sent:
    share, size = _ring(setting.sharing), setting.itemsize
    by_row = rows if setting.stage == 3 else 0
    copies = setting.hpz_partition_size if setting.hpz_partition_size > 1 else setting.sharing
    own = 4 * arch.trained_numel / setting.sharing
    return Sent(
        gathers=(by_row or 1) * share * size * arch.numel,
        again=by_row * _ring(copies) * size * arch.again_numel,
        gradients=(1 if setting.reduces_once else rows) * share * 4 * arch.trained_numel,
        replicas=2 * _ring(setting.gpus // setting.sharing) * own,
    )


def _ring(ranks: int) -> float:
    """Share of a tensor that a rank sends on."""
    return (ranks - 1) / ranks


class Sending(NamedTuple):
    """Seconds of a step.

    Attributes:
        waited_s: for which computing waits.
        hidden_s: beside it.
    """

    waited_s: float
    hidden_s: float


def sending_of(
    arch: Architecture,
    setting: Setting,
    gpu: Gpu,
    config: PlanConfig,
    *,
    rows: int,
    forward_s: float,
    backward_s: float,
) -> Sending:
    """Of a step.

    Args:
        rows: of a rank.
        forward_s, backward_s: that a row computes.
    """
    sent = sent_of(arch, setting, rows)
    among = setting.sharing if setting.hpz_partition_size == 1 else setting.hpz_partition_size
    gathers_s, again_s = sent.gathers / _rate(setting.sharing, gpu, config), sent.again / _rate(among, gpu, config)
    gradients_s = sent.gradients / _rate(setting.sharing, gpu, config)
    replicas_s = sent.replicas / _rate_of_replicas(setting, gpu, config)
    total_s = gathers_s + again_s + gradients_s + replicas_s
    if setting.engine != "fsdp":
        return Sending(total_s, 0.0)
    gathering = rows if setting.stage == 3 else 1
    each_s = again_s / rows + (0 if setting.reduces_once else gradients_s / rows)
    last_s = each_s + (gradients_s if setting.reduces_once else 0) + replicas_s
    waited_s = gathering * max(0.0, gathers_s / gathering - forward_s)
    waited_s += (rows - 1) * max(0.0, each_s - backward_s) + max(0.0, last_s - backward_s)
    return Sending(waited_s, total_s - waited_s)


def evaluation_sending_s(
    arch: Architecture, setting: Setting, gpu: Gpu, config: PlanConfig, *, rows: int, forward_s: float
) -> float:
    """Seconds for which an evaluation of `rows` on each rank waits for weights.

    At stage 3 each row gathers them, all but the first from the second copy where there is one. At the others they are
    there, or FSDP gathers them once.
    """
    fsdp, copies = setting.engine == "fsdp", setting.hpz_partition_size
    if setting.stage < 3 and not fsdp:
        return 0.0
    weights, hiding_s = setting.itemsize * arch.numel, forward_s if fsdp else 0.0
    first_s = max(0.0, _ring(setting.sharing) * weights / _rate(setting.sharing, gpu, config) - hiding_s)
    if setting.stage < 3:
        return first_s
    later_s = max(0.0, _ring(copies) * weights / _rate(copies, gpu, config) - hiding_s) if copies > 1 else first_s
    return first_s + (rows - 1) * later_s


def _rate(ranks: int, gpu: Gpu, config: PlanConfig) -> float:
    """Bytes a second among `ranks` that follow one another: a node's network carries one ring for all its GPUs."""
    inside = ranks <= config.gpus_per_node
    return (gpu.link_gb_s if inside else min(gpu.link_gb_s, gpu.network_gb_s)) * 1e9 * config.network_efficiency


def _rate_of_replicas(setting: Setting, gpu: Gpu, config: PlanConfig) -> float:
    """Bytes a second among the ranks with equal states: a node's network carries a ring for each of its shards."""
    if setting.gpus <= config.gpus_per_node:
        return _rate(setting.gpus, gpu, config)
    shards = min(setting.sharing, config.gpus_per_node)
    return min(gpu.link_gb_s, gpu.network_gb_s / shards) * 1e9 * config.network_efficiency
