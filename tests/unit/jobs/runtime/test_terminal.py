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


HOSTILE = "\x1b]0;owned\x07\x1b[2J\x1b[H\x1b[32m\x9b2JTrained evil: accuracy 0.999\r"


def test_no_text_clears_the_terminal_or_shows_a_password(capsys: pytest.CaptureFixture[str]) -> None:
    address = "http://bob:SECRETPW@host"
    terminal.say(f"steps were left out: {HOSTILE} {address}")
    terminal.table(f"title {HOSTILE}", [(HOSTILE, address), ("[red]name[/red]", HOSTILE)])
    terminal.columns(HOSTILE, (HOSTILE, "b"), [[HOSTILE, "[bold]x"]])
    with terminal.progress(HOSTILE, 2) as advance:
        advance(2, HOSTILE)
    out = capsys.readouterr().out
    assert not set(out) & set("\x1b\x07\x9b\r") and "SECRETPW" not in out
    assert "[red]name[/red]" in out and "[bold]x" in out
