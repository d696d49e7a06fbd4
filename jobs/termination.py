"""SIGTERM as an exception, and a flag for the case that a library turned that exception into another."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

__all__ = ["Terminated", "sigterm_raises", "was_terminated"]

_SEEN = threading.Event()


class Terminated(BaseException):
    """SIGTERM came in; unwinds the stack so that sessions and files are closed."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Raise `Terminated` in the main thread when SIGTERM comes in, for the length of the block."""
    _SEEN.clear()
    previous = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def was_terminated() -> bool:
    """Whether SIGTERM came in. Ray's compiled code turns `Terminated` into SystemError where it is raised inside it."""
    return _SEEN.is_set()


def _terminate(_signum: int, _frame: FrameType | None) -> NoReturn:
    _SEEN.set()
    raise Terminated
