"""What the benchmark of large models takes for held: of the ranks and what they start, pages counted once, by phase."""

import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from benchmarks.common.goals import judged
from benchmarks.large_model import __main__ as large_model
from benchmarks.large_model import memory
from benchmarks.large_model.memory import Peaks, pss

MB = 1_000_000


def test_pages_count_once_they_are_there() -> None:
    before = pss(os.getpid())
    with mmap.mmap(-1, 64 * MB) as pages:
        assert pss(os.getpid()) - before < 32 * MB
        for place in range(0, len(pages), mmap.PAGESIZE):
            pages[place] = 1
        assert pss(os.getpid()) - before > 60 * MB


def test_a_process_that_has_ended_holds_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert pss(ended.pid) == 0


def test_peaks_are_of_phases_and_leave_out_what_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rank with a process of its own, which holds 7 without a model; 4 bytes are shards."""
    held: Iterator[int] = iter([7, 10, 27, 40, 99, 99])
    phases = iter(["tiny", "tiny", "load", "load", "load", "export"])
    monkeypatch.setattr(memory, "pss", lambda pid: next(held))
    monkeypatch.setattr(memory, "_children", lambda pid: [SimpleNamespace(pid=3)])
    told: list[str] = []
    peaks = Peaks([1], "tiny", less=lambda: 4)
    left = iter([True, True, True, False])
    peaks.watch(lambda: next(phases), lambda: next(left), told.append)
    assert peaks.imports == 7
    assert peaks.first == peaks.most == {"tiny": 10 - 4, "load": 40 + 20 - 4}, "the third was seen across a border"
    assert peaks.samples == {"tiny": 1, "load": 1} and told == ["tiny", "load"]


def test_goals_are_of_figures_that_are_measured() -> None:
    figures = {"load_over_model": 1.1, "export_over_model": 1.2}
    assert all(verdict["met"] for verdict in judged(figures, large_model.GOALS).values())
