"""Processes that a test starts and interrupts, whatever the shell that started the tests does with Ctrl-C.

A script that starts its commands in the background has them ignore SIGINT, and a process hands that on to its children:
one that waits for Ctrl-C would then wait for ever.
"""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["interrupt", "interrupt_handled_by", "signal_group", "start"]


def start(
    command: Sequence[str],
    *,
    cwd: Path | str | None = None,
    env: Mapping[str, str] | None = None,
    stdin: int | IO[str] | None = None,
    own_group: bool = False,
) -> subprocess.Popen[str]:
    """`command` in a process that Ctrl-C ends; its output and its errors come through one pipe, as text.

    Args:
        own_group: it leads a process group, as a terminal and `timeout` give it one.
    """
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=env,
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_default_interrupt,
        process_group=0 if own_group else None,
    )


@contextmanager
def interrupt_handled_by(handler: Any) -> Iterator[None]:
    """In the block, this process treats Ctrl-C so, whatever it was started to do."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupt(process: subprocess.Popen[str]) -> None:
    """Ctrl-C."""
    process.send_signal(signal.SIGINT)


def signal_group(process: subprocess.Popen[str], number: int) -> None:
    """A signal for a child that leads a group, and for all that is in it."""
    os.killpg(process.pid, number)


def _default_interrupt() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
