"""How a command ends that does not come to its end: a line for the person, an exit code, and what the runs are told.

    an error reaches the command line --------> `explained`
    Ray's own processes die below a command --> `ending_with`, from a thread: runs are told, `explained`, exit

The thread is needed because Ray's library answers no call then, and after a minute ends the process without a word.
"""

import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psutil

from data_pipeline.errors import BaserewardError, NoRoom, RunError, UserError
from data_pipeline.shown import masked, printable
from data_pipeline.watcher import watching
from jobs.runtime.termination import Terminated, exit_code_of, shown, stop_signal, uninterrupted

__all__ = ["ending_with", "explained", "told_of_the_end"]

EXIT_FAILED = 1
EXIT_USER = 2
EXIT_NO_ROOM = 75  # EX_TEMPFAIL of sysexits.h: a submitted job is repeated
LOOK_S = 0.5

_TOLD: list[Callable[[BaseException], object]] = []


def explained(error: BaseException, failed: int = EXIT_FAILED, *, debug: bool = False) -> int:
    """Say why the command ended, and return the exit code; `failed` is that of what the caller may not be able to fix.

    After a signal other errors are mostly its consequences: what it cut off, or what it ended beside this process.
    """
    came = signal.SIGINT if isinstance(error, KeyboardInterrupt) and stop_signal() is None else stop_signal()
    if isinstance(error, BaserewardError):
        if debug:
            _print_traceback(error)
        _complain(f"error: {error}")
    if came is not None or isinstance(error, Terminated):
        came = came or signal.SIGTERM
        how = "stopped" if came == signal.SIGINT else "ended"
        _complain(f"{how} by {shown(came)}; the same command goes on from what is finished")
        return exit_code_of(came)
    if isinstance(error, BaserewardError):
        if isinstance(error, NoRoom):
            return EXIT_NO_ROOM
        return EXIT_USER if isinstance(error, UserError) else failed
    _print_traceback(error)  # an unexpected failure is shown in full: its cause is not known beforehand
    return failed


@contextmanager
def told_of_the_end(tell: Callable[[BaseException], object]) -> Iterator[None]:
    """In the block, `tell` is called with the error where `ending_with` ends the process; it may use no Ray."""
    _TOLD.append(tell)
    try:
        yield
    finally:
        _TOLD.remove(tell)


@contextmanager
def ending_with(dead: Callable[[], str | None]) -> Iterator[None]:
    """In the block, end the process soon after `dead` says what has died that it can't do without."""

    def look() -> bool:
        found = dead()
        if found is None:
            return False
        error = RunError(f"{found} died; the same command goes on from what is finished")
        with uninterrupted():
            for tell in reversed(_TOLD):
                tell(error)
            code = explained(error)
        sys.stdout.flush()
        sys.stderr.flush()
        for child in psutil.Process().children(recursive=True):  # Ray's agents would wait for the rest of the cluster
            with suppress(psutil.NoSuchProcess):
                child.kill()
        os._exit(code)

    with watching(look, every_s=LOOK_S, name="cluster processes"):
        yield


def _complain(message: str) -> None:
    print(f"basereward: {printable(masked(message))}", file=sys.stderr)


def _print_traceback(error: BaseException) -> None:
    print(printable(masked("".join(traceback.format_exception(error)))), file=sys.stderr, end="")
