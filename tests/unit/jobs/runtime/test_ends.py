"""The end of a command whose cluster dies below it: runs are told, one line, the exit code, whatever the rest does."""

import subprocess
import sys

import pytest

PROGRAM = """
import os, signal, sys, time
from jobs.runtime.ends import ending_with, told_of_the_end
from jobs.runtime.termination import first_stop_signal, stop_signals_raise

began_s = time.monotonic()
died = lambda: "raylet" if time.monotonic() - began_s > 0.1 else None
tell = lambda error: print("told", error)
with stop_signals_raise(), told_of_the_end(tell), ending_with(died):
    {work}
"""
LOST = "basereward: error: raylet died; the same command goes on from what is finished\n"
WORKS = {
    "waits": ("time.sleep(60)", 1, ""),
    "does not let itself be interrupted": (
        "exec('while True:\\n try: time.sleep(60)\\n except BaseException: pass')",
        1,
        "",
    ),
    "was asked to stop": (
        "with first_stop_signal(60): os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)",
        143,
        "basereward: ended by SIGTERM; the same command goes on from what is finished\n",
    ),
    "was asked by Ctrl-C": (
        "with first_stop_signal(60): os.kill(os.getpid(), signal.SIGINT); time.sleep(60)",
        130,
        "basereward: stopped by Ctrl-C; the same command goes on from what is finished\n",
    ),
}


@pytest.mark.parametrize(("work", "code", "more"), WORKS.values(), ids=WORKS)
def test_a_command_ends_with_its_cluster(work: str, code: int, more: str) -> None:
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler){PROGRAM.format(work=work)}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (code, LOST + more)
    assert done.stdout == "told raylet died; the same command goes on from what is finished\n"


def test_a_command_whose_cluster_lives_ends_by_itself() -> None:
    program = PROGRAM.format(work="print('done')").replace("> 0.1", "> 100")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")
