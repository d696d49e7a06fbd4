"""Work of world rank 0 alone, for which the others wait.

They hear of each part that is done: a collective call of minutes would end at the process group's timeout, and a rank
that does not advance is taken for one that hangs. A part that does not come to its end is still found by both.
"""

import time
from collections.abc import Callable

import torch.distributed as dist

from data_pipeline.errors import RunError

__all__ = ["Report", "on_first_rank"]

Report = Callable[[str], None]
"""Gets what is being done now, a few words."""
_EVERY_S = 5.0
"""Seconds between two messages to the other ranks at least: files of a small model are not worth one each."""


def on_first_rank(work: Callable[[Report], None], *, beat: Report, every_s: float = _EVERY_S) -> None:
    """Run `work` on world rank 0; a collective call.

    Args:
        work: is given the function to be told of each part.
        beat: gets the same on every rank, for its watchdog.

    Raises:
        RunError: on the other ranks, where `work` raised anything on rank 0; there the error itself.
    """
    if dist.get_rank() != 0:
        _wait(beat)
        return
    told_s = time.monotonic()

    def report(what: str) -> None:
        nonlocal told_s
        beat(what)
        if time.monotonic() - told_s >= every_s:
            _tell(False, what)
            told_s = time.monotonic()

    try:
        work(report)
    except Exception as error:
        _tell(True, str(error) or type(error).__name__)
        raise
    _tell(True, "")


def _wait(beat: Report) -> None:
    while True:
        ended, what = _tell(False, "")
        if ended and what:
            raise RunError(what)
        if ended:
            return
        beat(what)


def _tell(ended: bool, what: str) -> tuple[bool, str]:
    """Rank 0's (whether it is done; what it does, or its error), on every rank."""
    said = [(ended, what)]
    dist.broadcast_object_list(said)
    return said[0]
