"""Half-written files of killed writers go away by the next run; those of living ones, and other files, stay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from workplace import ROOT

from data_pipeline.storage import draft_beside, remove_drafts, write_atomic

KILLED = """
import os, sys
from data_pipeline import storage
os.replace = lambda *_: os._exit(9)
os.fsync = lambda _: None
storage.write_atomic(sys.argv[1], b"whole")
"""


def killed_in(url: Path) -> None:
    """A writer that dies between its last byte and the new name."""
    done = subprocess.run([sys.executable, "-c", KILLED, str(url)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 9


def test_what_killed_writers_left_goes_and_everything_else_stays(tmp_path: Path) -> None:
    kept = [tmp_path / "shards/a.arrow", tmp_path / ".notes.tmp", tmp_path / ".env.draft", tmp_path / "x.draft"]
    for path in kept:
        write_atomic(str(path), b"mine")
    killed_in(tmp_path / "manifest.json")
    killed_in(tmp_path / "shards/b.arrow")
    mine = Path(draft_beside(str(tmp_path / "shards/c.arrow")))
    mine.write_bytes(b"half")
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == len(kept) + 3
    assert remove_drafts(str(tmp_path)) == 2
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == {*kept, mine}
    assert remove_drafts(str(tmp_path / "nowhere")) == 0 and remove_drafts("s3://bucket/nowhere") == 0


@pytest.mark.parametrize(("age_s", "is_gone"), [(60, False), (2 * 86400, True)])
def test_a_draft_of_another_host_is_left_alone_for_a_day(tmp_path: Path, age_s: int, is_gone: bool) -> None:
    """Nobody here can ask whether process 1 of that host lives."""
    other = tmp_path / ".part.safetensors.0123456789ab-1-0123456789ab.draft"
    other.write_bytes(b"half")
    written_s = other.stat().st_mtime - age_s
    os.utime(other, (written_s, written_s))
    assert remove_drafts(str(tmp_path)) == int(is_gone)
    assert other.exists() != is_gone
