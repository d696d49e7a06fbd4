"""Bytes that an engine keeps on one rank: weights, float32 masters, moments, gradients, buffers.

What FSDP keeps is in `fsdp_states`. Here is what DeepSpeed 0.19 allocates for the configuration of
`rm_core.training.engines.zero`, read from its sources and measured on real ranks
(`tests/distributed/test_planner_memory.py`) and on a GPU (`benchmarks/gpu_planner`).
P trained weights, N ranks, w bytes of a weight (2 in bf16):

    stage         weights   masters   moments   gradients            buffers while gradients flow
    0 (fp32)      4 P       -         8 P       4 P                  a bucket of 5e8 elements
    1, bf16       2 P       4 P / N   8 P / N   4 P + 2 P            whole flat groups, converted, in the step
    1, fp32       4 P       4 P / N   8 P / N   4 P                  a bucket
    2             w P       4 P / N   8 P / N   4 P / N              a bucket
    3             w P / N   4 P / N   8 P / N   4 P / N              a bucket, gathered weights, gradients of a bucket

Frozen weights: w F whole, w F / N at stage 3; with `hpz_partition_size` h there, w (P + F) / h once more. The worked 7B
example is in ``docs/planning.md``.
Rajbhandari et al. 2020, "ZeRO" (arXiv 1910.02054) has the method; its 2 + 2 + 12 bytes a weight are fp16 gradients.
"""

import math

from rm_core.planner.architecture import Architecture
from rm_core.planner.fsdp_states import fsdp_states
from rm_core.planner.kept import States
from rm_core.planner.setting import Setting

__all__ = ["BUCKET", "States", "states_of"]

BUCKET = 500_000_000
"""Elements of a gradient bucket: DeepSpeed's `reduce_bucket_size`, which we leave as it is."""
_LIVE = 1_000_000_000
"""Gathered elements that stage 3 keeps at most before it fetches a module: `stage3_max_live_parameters`."""
_PREFETCH = 50_000_000
"""Elements gathered ahead: `stage3_prefetch_bucket_size`."""
_PERSISTENT = 100_000
"""Parameters of fewer elements stay whole on every rank: `stage3_param_persistence_threshold`."""
_SUB_GROUP = 1_000_000_000
"""Elements of a rank's shard that stage 3 updates at once: `sub_group_size`."""


def states_of(arch: Architecture, setting: Setting) -> States:
    """Bytes of the states of `arch` on one rank under `setting`."""
    if setting.engine == "fsdp":
        return fsdp_states(arch, setting)
    return (_whole, _partitioned_1, _partitioned_2, _sharded)[setting.stage](arch, setting)


def _whole(arch: Architecture, setting: Setting) -> States:
    weights, trained = setting.itemsize * arch.numel, arch.trained_numel
    return States(
        weights=weights,
        masters=0,
        moments=8 * trained,
        gradients=setting.itemsize * trained,
        buffers=0,
        backward=0,
        step=4 * _bucket(arch),
        start=weights,
        host=0,
    )


def _partitioned_1(arch: Architecture, setting: Setting) -> States:
    if setting.precision == "bf16" and not setting.offload_optimizer:
        # DeepSpeed's BF16_Optimizer: gradients of all weights in float32, and beside them those of autograd.
        shard, trained = _shard(arch, setting.gpus), arch.trained_numel
        return States(
            weights=2 * arch.numel,
            masters=4 * shard,
            moments=8 * shard,
            gradients=(4 + 2) * trained,
            buffers=0,
            backward=0,
            step=_reduced_flat(arch),
            # While the largest group is laid flat, its weights are there twice.
            start=2 * (arch.numel + max(map(sum, arch.groups))) + 4 * shard + 4 * trained,
            host=0,
        )
    return _flat(arch, setting, gradients=4 * arch.trained_numel)


def _partitioned_2(arch: Architecture, setting: Setting) -> States:
    gradients = _shard(arch, setting.gpus) if setting.precision == "bf16" else _whole_parameters(arch, setting.gpus)
    return _flat(arch, setting, gradients=4 * gradients)


def _flat(arch: Architecture, setting: Setting, *, gradients: int) -> States:
    """DeepSpeed's optimiser of stages 1 and 2: whole weights, flat by group; the rank's partition of each group."""
    size, shard = setting.itemsize, _shard(arch, setting.gpus)
    bucket = size * max(BUCKET, *map(max, arch.groups))
    largest = size * max(map(max, arch.groups))
    offload = setting.offload_optimizer
    # The gradients of the largest group are laid flat once more, unless they are flat already.
    again = 0 if setting.precision == "bf16" else 4 * max(map(sum, arch.groups)) // setting.gpus
    return States(
        weights=size * arch.numel,
        masters=0 if offload else 4 * shard,
        moments=0 if offload else 8 * shard,
        gradients=gradients,
        # Stage 1 keeps its bucket until the step, stage 2 makes one for each row.
        buffers=(largest if offload else 0) + (bucket if setting.stage == 1 else 0),
        backward=bucket if setting.stage == 2 else 0,
        step=again,
        start=size * arch.numel + (0 if offload else 4 * shard),  # laid flat on the CPU where there is no room
        # masters, moments, gradients; a copy in the engine's type, and one of the largest parameter
        host=(16 + size) * shard + largest if offload else 0,
    )


def _sharded(arch: Architecture, setting: Setting) -> States:
    size, gpus = setting.itemsize, setting.gpus
    offload, offload_weights = setting.offload_optimizer, setting.offload_parameters
    shard = sum(_share(numel, gpus) for group in arch.groups for numel in group)
    own = size * (shard + sum(_share(numel, gpus) for numel in arch.frozen))
    small = size * sum(numel for group in (*arch.groups, arch.frozen) for numel in group if numel <= _PERSISTENT)
    # A second copy, of what is sharded, is made in a step's first forward pass, and dropped in the step.
    copies = setting.hpz_partition_size
    second = (size * arch.numel - small) // copies if copies > 1 else 0
    gathered = size * min(arch.numel, _LIVE + _PREFETCH + arch.largest_numel)
    largest = max(map(max, arch.groups))
    # Gradients wait for their bucket to be full, and are laid flat to be sent.
    waiting = 2 * size * min(arch.trained_numel, max(BUCKET, largest))
    sub_group = 4 * min(max(sum(_share(numel, gpus) for numel in group) for group in arch.groups), _SUB_GROUP)
    return States(
        weights=small + (0 if offload_weights else own),
        masters=0 if offload else 4 * shard,
        moments=0 if offload else 8 * shard,
        gradients=0 if offload else 4 * shard,
        buffers=size * BUCKET + (0 if offload_weights else second),
        backward=gathered + waiting,
        step=sub_group,
        start=own + size * arch.largest_numel,  # weights come from host memory one after the other
        # masters, moments, gradients and the copies of them that the optimiser reads
        host=(20 * shard if offload else 0) + (own + second if offload_weights else 0),
    )


def _reduced_flat(arch: Architecture) -> int:
    """Bytes while stage 1 sums gradients in bf16: a group's float32 gradients lie flat and are reduced as one tensor.

    DeepSpeed joins groups until they have more than a bucket's elements; the largest group is never cut. Groups that
    are joined are copied in float32, and all are converted to bf16.
    """
    joined: list[list[int]] = [[]]
    for group in arch.groups:
        if sum(joined[-1]) > BUCKET:
            joined.append([])
        joined[-1].append(sum(group))
    return max((2 + (4 if len(groups) > 1 else 0)) * sum(groups) for groups in joined)


def _share(numel: int, gpus: int) -> int:
    """A rank's part of one parameter, filled up: of 10 on 4 ranks 3."""
    return -(-numel // gpus)


def _shard(arch: Architecture, gpus: int) -> int:
    """Elements of a rank's partitions of all groups; each group is filled up to a multiple of 2 N."""
    return sum(2 * math.ceil(sum(group) / (2 * gpus)) for group in arch.groups)


def _whole_parameters(arch: Architecture, gpus: int) -> int:
    """Elements of all parameters of which a rank's partitions hold at least a part, of the fullest rank."""
    held = [0] * gpus
    for group in arch.groups:
        size = 2 * math.ceil(sum(group) / (2 * gpus))
        place = 0
        for numel in group:
            for rank in range(place // size, min(gpus, -(-(place + numel) // size))):
                held[rank] += numel
            place += numel
    return max(held)


def _bucket(arch: Architecture) -> int:
    return min(arch.trained_numel, max(BUCKET, *map(max, arch.groups)))
