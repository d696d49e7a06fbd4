"""Drills within a time: every file has its turn, and what is not begun says so."""

import subprocess
import sys
from pathlib import Path

import pytest
from drill_time import in_turn

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("turn", range(7))
def test_every_file_comes_once_and_each_is_first_in_its_turn(turn: int) -> None:
    files = ["a", "a", "b", "c", "b"]
    assert sorted(in_turn(files, turn)) == ["a", "b", "c"]
    assert in_turn(files, turn)[0] == "abc"[turn % 3]


def drills(folder: Path, minutes: str) -> str:
    """What a run of two files with drills, beside one without, says."""
    (folder / "conftest.py").write_text((ROOT / "tests" / "conftest.py").read_text(encoding="utf8"))
    for name in ("one", "two"):
        marked = "import pytest\n@pytest.mark.drill\ndef test_it():\n    pass\n"
        (folder / f"test_{name}.py").write_text(marked)
    (folder / "test_none.py").write_text("def test_it():\n    pass\n")
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-v",
        "-rs",
        "-c",
        "/dev/null",
        f"--rootdir={folder}",
        str(folder),
        "-m",
        "drill",
    ]
    env = {"PYTHONPATH": str(ROOT / "tests" / "support"), "PATH": "/usr/bin:/bin"}
    limits = ["--drill-minutes", minutes, "--drill-turn", "1"]
    return subprocess.run([*command, *limits], env=env, capture_output=True, text=True, check=False).stdout


def test_no_drill_begins_after_the_time(tmp_path: Path) -> None:
    said = drills(tmp_path, "0")
    assert "2 skipped" in said and "the 0 minutes for drills are over" in said
    assert "2 drills are left to another turn, of test_two.py, test_one.py" in said


def test_all_begin_in_their_turn_while_there_is_time(tmp_path: Path) -> None:
    said = drills(tmp_path, "10")
    assert "2 passed" in said and "left to another turn" not in said
    assert said.index("test_two.py") < said.index("test_one.py")
