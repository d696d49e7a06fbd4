"""Whether all ranks hold what they should hold alike."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from data_pipeline.errors import RunError

__all__ = ["check_agreement"]

_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def check_agreement(
    step: int,
    parameters: Iterable[tuple[str, Tensor]],
    group: Callable[[str], str],
    facts: Mapping[str, float],
    *,
    together: dist.ProcessGroup | None = None,
) -> None:
    """Compare weights and facts over the ranks, bit by bit; a collective call that reads all weights once.

    Weights that drift apart (a broken link, memory that flips bits, a rank that skipped an update) train on without an
    error otherwise: every rank's loss still looks sane.

    Args:
        step: steps done, for the message.
        parameters: names and whole weights that every rank holds a copy of; none where the engine shards them.
        group: name of a parameter -> part of the model.
        facts: other numbers that are equal on all ranks, such as rates.

    Raises:
        RunError: on all ranks; names the part, and the ranks that differ from most, or all where there is no majority.
    """
    sums: dict[str, Tensor] = {}
    for name, value in parameters:
        part, checksum = f"weights of {group(name)}", _checksum(value.detach())
        sums[part] = sums[part] + checksum if part in sums else checksum
    if together is not None and sums:
        whole = torch.stack(list(sums.values()))
        dist.all_reduce(whole, group=together)
        sums = dict(zip(sums, whole, strict=True))
    own = {part: int(value) for part, value in sums.items()} | {name: hash(value) for name, value in facts.items()}
    ranks: list[dict[str, int]] = [{} for _ in range(dist.get_world_size())]
    dist.all_gather_object(ranks, own)
    for name in own:
        if odd := _odd_ones([rank[name] for rank in ranks]):
            raise RunError(
                f"after step {step}, {name} {odd}; start again without their nodes (train.group.exclude_nodes)"
            )


def _odd_ones(values: Sequence[int]) -> str:
    """Which ranks' values are not as they should be, in words; "" where all are equal.

    >>> _odd_ones([7, 7, 9])
    "on rank 2 differ from the other ranks': their memory or links can't be trusted"
    >>> _odd_ones([7, 9])
    "on ranks 0, 1 differ from each other, and no majority says whose memory or links can't be trusted"
    """
    usual, count = Counter(values).most_common(1)[0]
    if count == len(values):
        return ""
    if 2 * count <= len(values):
        named = ", ".join(map(str, range(len(values))))
        return f"on ranks {named} differ from each other, and no majority says whose memory or links can't be trusted"
    others = [str(rank) for rank, value in enumerate(values) if value != usual]
    plural = "s" if len(others) > 1 else ""
    return f"on rank{plural} {', '.join(others)} differ from the other ranks': their memory or links can't be trusted"


def _checksum(value: Tensor) -> Tensor:
    """The sum of a tensor's bits as whole numbers, which wraps around and so doesn't depend on an order."""
    return value.reshape(-1).view(_BITS[value.element_size()]).sum(dtype=torch.int64)
