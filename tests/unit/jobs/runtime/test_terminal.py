"""Progress lines where nobody sits at the terminal."""

from types import SimpleNamespace

import pytest

from jobs.runtime import terminal


def test_time_left_counts_from_the_first_work_done(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 100.0, 120.0, 140.0, 160.0])
    monkeypatch.setattr(terminal, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with terminal.progress("train steps", 50) as advance:
        for done in (0, 10, 20, 50):
            advance(done, "")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "train steps: 0 of 50",
        "train steps: 10 of 50",  # 100 s went by before it, and say nothing about the rest
        "train steps: 20 of 50, about 60 s left",
        "train steps: 50 of 50",
    ]
