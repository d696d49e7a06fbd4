"""An audit that takes long says each part that it comes to; one that hangs is ended, and so is one nobody waits for."""

import subprocess
import sys
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from data_pipeline.errors import RunError
from rm_core.model_folder import verify
from rm_core.model_folder.verify import audit_export

PROCESSES: list[subprocess.Popen[str]] = []


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Another program in the place of the audit."""
    start = subprocess.Popen

    def replaced(program: str) -> None:
        def popen(command: list[str], **more: Any) -> Any:
            PROCESSES.append(start([sys.executable, "-u", "-c", program], **more))
            return PROCESSES[-1]

        monkeypatch.setattr(verify.subprocess, "Popen", popen)

    return replaced


def test_each_line_is_told_and_the_last_is_the_result(slow: Any) -> None:
    told: list[str] = []
    slow("for part in range(8): print('part', part)\nprint('all is well')")
    assert audit_export("a folder", report=told.append) == "all is well"
    assert told == [*(f"audit: part {part}" for part in range(8)), "audit: all is well"]


def test_many_parts_may_take_longer_than_the_silence_that_ends_one() -> None:
    def lines() -> Iterator[str]:
        for part in range(10):
            time.sleep(0.1)
            yield f"{part}\n"

    process: Any = SimpleNamespace(stdout=lines())
    assert verify._followed(process, 0.8, lambda what: None) == "9"


def test_silence_ends_it(slow: Any) -> None:
    slow("print('begun'); import time; time.sleep(60)")
    with pytest.raises(RunError, match="its audit said nothing for 1 s; run .*rm_core.model_folder.verify a folder"):
        audit_export("a folder", silence_s=1)
    assert PROCESSES[-1].returncode == -9


def test_an_error_of_who_is_told_ends_it(slow: Any) -> None:
    slow("print('begun'); import time; time.sleep(60)")
    start_s = time.monotonic()

    def broken(what: str) -> None:
        raise ConnectionError("the group is gone")

    with pytest.raises(ConnectionError):
        audit_export("a folder", report=broken)
    assert time.monotonic() - start_s < 30 and PROCESSES[-1].returncode == -9
