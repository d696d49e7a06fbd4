"""The newest checkpoint that can be read, by all ranks alike."""

from collections.abc import Callable
from typing import Any

from data_pipeline.errors import CorruptData
from rm_core.checkpoints.reader import Checkpoint
from rm_core.checkpoints.store import CheckpointStore

__all__ = ["resume_newest"]


def resume_newest(
    store: CheckpointStore,
    fill: Callable[[Checkpoint], None],
    *,
    rank: int,
    copies: str,
    agree: Callable[[bool], bool],
    share: Callable[[Any], Any],
    report: Callable[[str], None],
) -> int | None:
    """Fill this rank's state from the newest checkpoint that every rank can read; a collective call.

    Args:
        fill: takes what it needs, without communication; may be called again with an older checkpoint.
        agree: whether all ranks say yes.
        share: rank 0's value, on every rank: lists are made once, since files may change in between.
        report: gets which checkpoints were passed over, and why.

    Returns:
        Its step, None where there is no checkpoint at all.

    Raises:
        CorruptData: there are some, and none of them can be read.
        UserError: `fill` refuses one as of another training.
    """
    steps: list[int] = share(store.complete_steps() if rank == 0 else None)
    for step in reversed(steps):
        error: CorruptData | None = None
        try:
            with store.open(step, rank=rank, copies=copies) as checkpoint:
                fill(checkpoint)
        except CorruptData as found:
            error = found
        if agree(error is None):
            return step
        if error is not None:
            report(f"the checkpoint of step {step} is passed over: {error}")
    if steps:
        raise CorruptData(
            f"none of the {len(steps)} checkpoints in {store.url!r} can be read: remove that folder to begin anew"
        )
    return None
