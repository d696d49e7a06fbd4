"""SIGTERM and Ctrl-C: exceptions, or requests to stop after the next step; which came first is remembered, also where
Python was in a long call and is told of both together.

first        raises, or, in `first_stop_signal`, is noted: the work ends by itself, with a checkpoint
next         raises
in `uninterrupted` none raises: sessions are closed and MLflow is told; where that takes more than `CLOSING_S`, the
             next one ends the process at once
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType

__all__ = [
    "Terminated",
    "exit_code_of",
    "first_stop_signal",
    "reason_ended",
    "reason_to_stop",
    "shown",
    "stop_signal",
    "stop_signals_raise",
    "uninterrupted",
]

CLOSING_S = 20.0

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}


class Terminated(BaseException):
    """SIGTERM came in, or the work was asked to stop; unwinds the stack so that sessions and files are closed.

    Args:
        reason: why, for the person who reads the run; "" where a signal handler raised it.
    """

    def __init__(self, reason: str = "") -> None:
        super().__init__(reason)


@dataclass
class _Seen:
    """What this process has got so far."""

    first: signal.Signals | None = None
    closing_since_s: float | None = None
    arrivals: int | None = None
    """Where Python writes each signal's number as it comes in, to be read."""


_SEEN = _Seen()


@contextmanager
def stop_signals_raise() -> Iterator[None]:
    """For the length of the block, SIGTERM raises `Terminated` in the main thread, and Ctrl-C `KeyboardInterrupt`."""
    with _handled_by(_stop), _arrivals():
        try:
            yield
        finally:
            _SEEN.first = _SEEN.closing_since_s = None


@contextmanager
def first_stop_signal(grace_s: float) -> Iterator[Callable[[], signal.Signals | None]]:
    """In the block the first signal is only noted, for work that can end by itself within `grace_s`.

    A second one, or the end of the grace, raises as ever. Yields the first, or None while there is none.
    """
    noted: list[signal.Signals] = []
    timer = threading.Timer(grace_s, lambda: os.kill(os.getpid(), noted[0]))
    timer.daemon = True

    def note(signum: int, frame: FrameType | None) -> None:
        if noted:
            _stop(signum, frame)
            return
        noted.append(_remember(signum))
        timer.start()

    with _handled_by(note):
        try:
            yield lambda: noted[0] if noted else None
        finally:
            timer.cancel()


@contextmanager
def uninterrupted() -> Iterator[None]:
    """In the block no signal raises: what has ended is closed, or said."""
    before = _SEEN.closing_since_s
    _SEEN.closing_since_s = time.monotonic() if before is None else before
    try:
        yield
    finally:
        _SEEN.closing_since_s = before


def stop_signal() -> signal.Signals | None:
    """The first that came in: Ray's compiled code turns its exception into SystemError where it is raised inside it."""
    return _SEEN.first


def shown(came: signal.Signals) -> str:
    """As a person calls it.

    >>> shown(signal.SIGINT), exit_code_of(signal.SIGINT)
    ('Ctrl-C', 130)
    """
    return _NAMES[came]


def exit_code_of(came: signal.Signals) -> int:
    """Of a command that it ended: 130 or 143."""
    return 128 + came


def reason_to_stop(came: signal.Signals) -> str:
    """Why a training or a sweep that was asked to stop has ended."""
    return f"{shown(came)}: a checkpoint was asked for; the same command goes on from it"


def reason_ended(came: signal.Signals) -> str:
    """Why a run ended whose work was cut off."""
    return f"{shown(came)}: cut off; the same command goes on from what is finished"


def _remember(signum: int) -> signal.Signals:
    """The signal, or the one that came in before it and is handled after it."""
    came = signal.Signals(signum)
    if _SEEN.first is None:
        _SEEN.first = came = _first_arrival() or came
    return came


def _first_arrival() -> signal.Signals | None:
    """Of signals that came in while Python could not look, which it hands out by their numbers."""
    try:
        numbers = b"" if _SEEN.arrivals is None else os.read(_SEEN.arrivals, 4096)
    except BlockingIOError:
        return None
    return next((one for number in numbers for one in _SIGNALS if one == number), None)


@contextmanager
def _arrivals() -> Iterator[None]:
    """In the block the order is kept in which signals come in."""
    before = _SEEN.arrivals
    _SEEN.arrivals, written = os.pipe()
    for one in (_SEEN.arrivals, written):
        os.set_blocking(one, False)
    other = signal.set_wakeup_fd(written, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(other)
        for one in (_SEEN.arrivals, written):
            os.close(one)
        _SEEN.arrivals = before


def _stop(signum: int, _frame: FrameType | None) -> None:
    came = _remember(signum)
    if _SEEN.closing_since_s is None:
        raise KeyboardInterrupt if came == signal.SIGINT else Terminated
    if time.monotonic() - _SEEN.closing_since_s > CLOSING_S:
        os._exit(exit_code_of(_SEEN.first or came))


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Both signals; one that this process was started to ignore, as in the background of a script, stays ignored."""
    previous = {one: signal.getsignal(one) for one in _SIGNALS}
    taken = [one for one, before in previous.items() if before is not signal.SIG_IGN]
    for one in taken:
        signal.signal(one, handler)
    try:
        yield
    finally:
        for one in taken:
            signal.signal(one, previous[one])
