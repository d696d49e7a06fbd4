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


NAMES = ("", "Comparisons", "groups", "A", "B", "B - A", "interval", "p", "A better", "B better")
ROWS = [
    ["captions of cartoons", "12,400", "1,022", "0.712", "0.744", "+0.032", "+0.011 to +0.053", "0.004", "310", "702"],
    ["text", "400", "400", "0.700", "0.700", "+0.000", "-0.020 to +0.020", "1.000", "8", "8"],
]


def shown(capsys: pytest.CaptureFixture[str], width: int, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    terminal.columns("Pair accuracy", NAMES, ROWS, numbers=True)
    return capsys.readouterr().out.splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
def test_no_width_breaks_a_word_or_a_number(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = shown(capsys, width, monkeypatch)
    words = {word.strip(";:") for line in lines for word in line.replace("│", " ").replace("┃", " ").split()}
    for cell in [cell for row in ROWS for cell in row] + ["Comparisons", "interval", "better"]:
        assert set(cell.split()) <= words, (width, cell)
    assert max(map(len, lines)) <= width


def test_a_table_stays_a_table_where_it_fits(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert any("│" in line for line in shown(capsys, 120, monkeypatch))
    assert not any("│" in line for line in shown(capsys, 60, monkeypatch))
    terminal.columns("One wide text", ("a", "why"), [["1", "a sentence of many short words " * 6]])
    lines = capsys.readouterr().out.splitlines()
    assert any("│" in line for line in lines) and max(map(len, lines)) <= 60


def test_a_path_that_is_wider_than_the_terminal_stays_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    path = "/shared/" + "/".join(["a_long_name_of_a_folder"] * 5) + "/report.html"
    terminal.table("Evaluation", [("pair accuracy", "0.7"), ("report", path)])
    terminal.columns("Runs", ("run", "place"), [["one", path], ["two [bold]\x1b[2J", "-"]])
    printed = capsys.readouterr().out
    assert printed.count(path) == 2 and "\x1b" not in printed and "two [bold]\N{REPLACEMENT CHARACTER}[2J" in printed
    terminal.table("Names", [("image part, images blanked", "0.5"), ("report", "/" + 60 * "x")])
    assert "  image part, images blanked: 0.5" in capsys.readouterr().out, "names stay in one line"
    terminal.table("Nothing", [])
    terminal.columns("Nothing", ("a", "b"), [])
