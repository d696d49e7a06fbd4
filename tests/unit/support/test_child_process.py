"""A test's Ctrl-C comes through, also where the tests themselves were started to ignore it."""

import signal
import sys
from collections.abc import Iterator

import pytest
from child_process import interrupt, interrupt_handled_by, start

WAITS = """
import time
try:
    print('waits', flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print('ended')
"""


@pytest.fixture
def ignored_interrupt() -> Iterator[None]:
    """As in a command that a script started in the background."""
    with interrupt_handled_by(signal.SIG_IGN):
        yield


@pytest.mark.usefixtures("ignored_interrupt")
def test_a_child_is_interrupted() -> None:
    process = start([sys.executable, "-c", WAITS])
    assert process.stdout is not None and process.stdout.readline() == "waits\n"
    interrupt(process)
    rest, _ = process.communicate(timeout=30)
    assert (rest, process.returncode) == ("ended\n", 0)
