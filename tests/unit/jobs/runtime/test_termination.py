"""Ctrl-C and SIGTERM: what raises when, what waits, and what is remembered."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from jobs.runtime.termination import (
    Terminated,
    first_stop_signal,
    reason_to_stop,
    stop_signal,
    stop_signals_raise,
    uninterrupted,
)
from jobs.tracking.tracker import reason_of, state_of

RAISED = {signal.SIGINT: KeyboardInterrupt, signal.SIGTERM: Terminated}
BOTH = pytest.mark.parametrize("one", RAISED)


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    """As in a command, also where the tests were started to ignore Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with stop_signals_raise():
        yield
    assert stop_signal() is None
    signal.signal(signal.SIGINT, before)


def send(one: signal.Signals) -> None:
    os.kill(os.getpid(), one)


@BOTH
def test_a_signal_raises_and_is_remembered(one: signal.Signals) -> None:
    assert stop_signal() is None
    with pytest.raises(RAISED[one]):
        send(one)
    assert stop_signal() == one


def test_the_first_counts() -> None:
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    with pytest.raises(Terminated):
        send(signal.SIGTERM)
    assert stop_signal() == signal.SIGINT


@BOTH
def test_what_is_closed_is_closed_to_its_end_however_often_a_signal_comes(one: signal.Signals) -> None:
    with uninterrupted():
        for _ in range(3):
            send(one)
        with uninterrupted():
            send(signal.SIGTERM)
        send(one)
    assert stop_signal() == one
    with pytest.raises(RAISED[one]):
        send(one)


@BOTH
def test_the_first_is_noted_and_the_second_raises(one: signal.Signals) -> None:
    with first_stop_signal(60) as asked:
        assert asked() is None
        send(one)
        assert asked() == one == stop_signal()
        with pytest.raises(Terminated):
            send(signal.SIGTERM)
    assert reason_to_stop(one).startswith(("Ctrl-C: ", "SIGTERM: "))


@BOTH
def test_the_end_of_the_grace_raises(one: signal.Signals) -> None:
    with first_stop_signal(0.02) as asked:
        send(one)
        assert asked() == one
        with pytest.raises(RAISED[one]):
            time.sleep(5)


@BOTH
def test_an_end_in_time_raises_nothing(one: signal.Signals) -> None:
    with first_stop_signal(0.02):
        send(one)
    time.sleep(0.05)


def test_mlflow_is_told_who_ended_the_run() -> None:
    assert (state_of(ValueError("x")), reason_of(ValueError("x"))) == ("failed", "ValueError: x")
    asked = Terminated(reason_to_stop(signal.SIGINT))
    assert (state_of(asked), reason_of(asked).partition(":")[0]) == ("killed", "Ctrl-C")
    with pytest.raises(KeyboardInterrupt):
        send(signal.SIGINT)
    turned = SystemError("returned a result with an exception set")
    assert (state_of(turned), reason_of(turned).partition(":")[0]) == ("killed", "Ctrl-C")


BUSY = """
from jobs.runtime.termination import stop_signal, stop_signals_raise, uninterrupted
with stop_signals_raise(), uninterrupted():
    print(flush=True)
    sum(range(3 * 10**7))  # one call, in which Python hands out no signal
    print(stop_signal().name)
"""


@pytest.mark.parametrize("order", [(signal.SIGTERM, signal.SIGINT), (signal.SIGINT, signal.SIGTERM)])
def test_of_two_that_are_handed_out_together_the_one_that_came_first_counts(order: tuple[signal.Signals, ...]) -> None:
    """Python hands them out by their numbers."""
    process = subprocess.Popen([sys.executable, "-c", BUSY], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "\n"
    time.sleep(0.1)
    for one in order:
        process.send_signal(one)
        time.sleep(0.05)
    assert process.communicate(timeout=60)[0] == f"{order[0].name}\n"


IGNORES = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
from jobs.runtime.termination import stop_signals_raise
with stop_signals_raise():
    os.kill(os.getpid(), signal.SIGINT)
print(signal.getsignal(signal.SIGINT).name)
"""


def test_a_signal_that_a_process_was_started_to_ignore_stays_ignored() -> None:
    """As with `&` in a script, or nohup."""
    done = subprocess.run([sys.executable, "-c", IGNORES], capture_output=True, text=True, check=True)
    assert done.stdout == "SIG_IGN\n"
