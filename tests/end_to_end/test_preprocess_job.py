"""Preprocessing as a Ray job: any number of workers, killed or not, the same bytes."""

import time
from pathlib import Path

from workplace import Workplace, kill_tree


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_one_and_four_workers_write_the_same_bytes(workplace: Workplace, tmp_path: Path) -> None:
    default = files_of(workplace.folder / "shards")
    assert len([name for name in default if name.endswith(".images.arrow")]) > 4
    for workers in (1, 4):
        workplace.run("preprocess", f"preprocess.output={tmp_path / str(workers)}", f"preprocess.workers={workers}",
                      "cluster.num_cpus=4")  # fmt: skip
        assert files_of(tmp_path / str(workers)) == default


def test_a_finished_output_is_left_alone(workplace: Workplace) -> None:
    before = {path: path.stat().st_mtime_ns for path in (workplace.folder / "shards").rglob("*")}
    assert "nothing to do" in workplace.run("preprocess")
    assert {path: path.stat().st_mtime_ns for path in (workplace.folder / "shards").rglob("*")} == before


def test_killed_and_run_again_it_writes_the_same_bytes(workplace: Workplace, tmp_path: Path) -> None:
    output = tmp_path / "killed"
    process = workplace.start("preprocess", f"preprocess.output={output}", "preprocess.workers=1")
    deadline_s = time.monotonic() + 90
    while not list(output.glob("units/*.json")):
        assert process.poll() is None and time.monotonic() < deadline_s, "it ended before it could be killed"
        time.sleep(0.01)
    kill_tree(process.pid)
    process.communicate(timeout=30)
    assert not (output / "manifest.json").exists()
    finished = {path: path.stat().st_mtime_ns for path in output.glob("units/*.json")}
    workplace.run("preprocess", f"preprocess.output={output}")
    assert files_of(output) == files_of(workplace.folder / "shards")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
