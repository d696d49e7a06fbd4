"""Whether all ranks hold what they should hold alike."""

from collections.abc import Callable, Iterable, Mapping

import torch
import torch.distributed as dist
from torch import Tensor

from data_pipeline.errors import RunError

__all__ = ["check_agreement"]

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_agreement(
    step: int, parameters: Iterable[tuple[str, Tensor]], group: Callable[[str], str], facts: Mapping[str, float]
) -> None:
    """Compare weights and facts over the ranks, bit by bit; a collective call that reads all weights once.

    Weights that drift apart (a broken link, memory that flips bits, a rank that skipped an update) train on without an
    error otherwise: every rank's loss still looks sane.

    Args:
        step: steps done, for the message.
        parameters: names and whole weights that every rank holds a copy of; none at ZeRO stage 3, which shards them.
        group: name of a parameter -> part of the model.
        facts: other numbers that are equal on all ranks, such as rates.

    Raises:
        RunError: on all ranks; names the ranks and parts that differ from most.
    """
    sums: dict[str, Tensor] = {}
    for name, value in parameters:
        part, checksum = f"weights of {group(name)}", _checksum(value.detach())
        sums[part] = sums[part] + checksum if part in sums else checksum
    own = {part: int(value) for part, value in sums.items()} | {name: hash(value) for name, value in facts.items()}
    ranks: list[dict[str, int]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(ranks, own)
    for name in own:
        values = [rank[name] for rank in ranks]
        usual = max(set(values), key=values.count)
        others = [rank for rank, value in enumerate(values) if value != usual]
        if others:
            raise RunError(
                f"after step {step}, {name} on rank {', '.join(map(str, others))} differ from the other ranks': their "
                "memory or links can't be trusted; start again without their nodes (train.group.exclude_nodes)"
            )


def _checksum(value: Tensor) -> Tensor:
    """The sum of a tensor's bits as whole numbers, which wraps around and so doesn't depend on an order."""
    return value.reshape(-1).view(_BITS[value.element_size()]).sum(dtype=torch.int64)
