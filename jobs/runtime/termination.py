"""SIGTERM as an exception, and a flag for the case that a library turned that exception into another."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["SIGTERM_REASON", "Terminated", "first_sigterm", "sigterm_raises", "was_terminated"]

SIGTERM_REASON = "SIGTERM: a checkpoint was asked for; the same command goes on from it"
"""Why a training or a sweep that was asked to stop has ended."""

_SEEN = threading.Event()


class Terminated(BaseException):
    """SIGTERM came in, or a training was asked to stop; unwinds the stack so that sessions and files are closed.

    Args:
        reason: why, for the person who reads the run; "" where a signal handler raised it.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise `Terminated` in the main thread when SIGTERM comes in, for the length of the block."""
    _SEEN.clear()
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def first_sigterm(grace_s: float) -> Iterator[Callable[[], bool]]:
    """In the block the first SIGTERM is only noted, for work that can end by itself within `grace_s`.

    A second one, or the end of the grace, raises `Terminated` as ever. Yields whether the first has come.
    """
    noted = threading.Event()
    end = threading.Timer(grace_s, os.kill, (os.getpid(), signal.SIGTERM))
    end.daemon = True

    def note(signum: int, frame: FrameType | None) -> None:
        if noted.is_set():
            _terminate(signum, frame)
        noted.set()
        _SEEN.set()
        end.start()

    previous = signal.signal(signal.SIGTERM, note)
    try:
        yield noted.is_set
    finally:
        end.cancel()
        signal.signal(signal.SIGTERM, previous)


def was_terminated() -> bool:
    """Whether SIGTERM came in. Ray's compiled code turns `Terminated` into SystemError where it is raised inside it."""
    return _SEEN.is_set()


def _terminate(_signum: int, _frame: FrameType | None) -> NoReturn:
    _SEEN.set()
    raise Terminated
