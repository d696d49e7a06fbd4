"""Waiting for a hub that fails in ways that may pass: growing pauses, its own ``Retry-After``, and an end."""

import time
from collections.abc import Callable
from threading import Event

from data_pipeline.errors import Unavailable

__all__ = ["Passing", "Patience", "Stopped"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 30.0


class Passing(Exception):
    """A failure that may pass; the text says which.

    Args:
        retry_after_s: what the other side asked to wait; 0: nothing.
    """

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        super().__init__(text)
        self.retry_after_s = retry_after_s


class Stopped(Exception):
    """The command ends: whatever is under way is given up, and what has come is kept."""


class Patience:
    """For one file or question: how long it has brought nothing, and how long to wait until it is asked again.

    Args:
        seconds: without a byte after which it is given up.
        stop: ends a wait at once.
        report: is told of waits that the other side asked for.
    """

    def __init__(self, seconds: float, stop: Event, report: Callable[[str], None]) -> None:
        self._seconds = seconds
        self._stop = stop
        self._report = report
        self.progressed()

    def progressed(self) -> None:
        """Something came: count anew."""
        self._since_s = time.monotonic()
        self._pause_s = _FIRST_PAUSE_S

    def wait(self, what: str, failure: Passing) -> None:
        """Wait until `what` may be asked for again.

        Raises:
            Unavailable: patience has ended, or would within the wait.
            Stopped: the command ends.
        """
        pause_s = max(self._pause_s, failure.retry_after_s)
        idle_s = time.monotonic() - self._since_s
        if idle_s + pause_s > self._seconds:
            asked = f", the hub asks for {pause_s:.0f} s more" if failure.retry_after_s else ""
            raise Unavailable(
                f"{what}: {failure}; nothing came for {idle_s:.0f} s{asked}, and fetch.patience_s is "
                f"{self._seconds:g}: the same command goes on from there"
            ) from failure
        if failure.retry_after_s:
            self._report(f"{what}: {failure}; the hub asks for {failure.retry_after_s:.0f} s of patience")
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        if self._stop.wait(pause_s):
            raise Stopped
