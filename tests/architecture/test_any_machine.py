"""Tests pass on a slow machine and in any shell."""

import re
from pathlib import Path

from hypothesis import HealthCheck, settings

TESTS = Path(__file__).parents[1]
OWN_DEADLINE = re.compile(r"settings\([^)]*deadline=")
RAW_INTERRUPT = re.compile(r"send_signal\((?:signal\.SIGINT|2)\)")


def files_with(pattern: re.Pattern[str]) -> set[str]:
    files = {path.relative_to(TESTS).as_posix(): path.read_text(encoding="utf-8") for path in TESTS.rglob("*.py")}
    return {name for name, text in files.items() if pattern.search(text)}


def test_one_profile_without_deadlines_for_all_property_tests() -> None:
    assert settings().deadline is None
    assert HealthCheck.too_slow in settings().suppress_health_check
    assert files_with(OWN_DEADLINE) == set()


def test_who_interrupts_a_child_starts_it_so_that_it_can_be_interrupted() -> None:
    """By `child_process`; `NetworkHosts` starts its commands by it, too."""
    assert files_with(RAW_INTERRUPT) == {"end_to_end/test_submission.py", "support/child_process.py"}
