"""Drills of preprocessing: processes, nodes, disks and object stores that fail while real command lines run."""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from picture_pairs import ROWS_PER_UNIT, PicturePairs, mtimes_of, outputs_of
from s3_faults import FaultyProxy
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture
from workplace import ROOT, kill_tree

from data_pipeline import storage
from data_pipeline.pipeline import prepare

pytestmark = pytest.mark.drill

NUM_UNITS = 8
PATIENCE_S = 120


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> PicturePairs:
    return PicturePairs(tmp_path_factory.mktemp("pairs"), NUM_UNITS)


@pytest.fixture(autouse=True)
def nothing_left_behind() -> Iterator[None]:
    """No process that a test started outlives it."""
    before = {process.pid for process in psutil.process_iter()}
    me = psutil.Process()
    yield
    left = [child for child in me.children(recursive=True) if child.pid not in before]
    left = [child for child in left if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    for child in left:
        child.kill()
    assert not left


def wait_until(found: Callable[[], object], process: subprocess.Popen[str]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while not found():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline_s, "it did not come"
        time.sleep(0.01)


def units_under_way(output: Path) -> dict[int, str]:
    """Process ids and the unit that each is in the middle of, as the logs say."""
    found: dict[int, str] = {}
    for log in output.glob("logs/*.log"):
        text = log.read_text()
        if "ended" not in text and "failed" not in text and (pid := re.search(r"pid (\d+)", text)):
            found[int(pid[1])] = log.stem
    return found


def in_the_middle(output: Path, process: subprocess.Popen[str]) -> tuple[int, str]:
    """A worker that is doing a unit while another unit is done already: (process id, unit)."""
    wait_until(lambda: list(output.glob("units/*.json")) and units_under_way(output), process)
    return next(iter(units_under_way(output).items()))


def finished(process: subprocess.Popen[str], code: int = 0) -> str:
    printed, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, printed
    return printed


def test_a_worker_killed_in_the_middle_of_a_unit_changes_nothing(place: PicturePairs, tmp_path: Path) -> None:
    process = place.start("preprocess", f"preprocess.output={tmp_path}", "cluster.num_cpus=2")
    pid, unit = in_the_middle(tmp_path, process)
    os.kill(pid, signal.SIGKILL)
    finished(process)
    assert outputs_of(tmp_path) == place.undisturbed()
    assert f"pid {pid}\n" not in (tmp_path / "logs" / f"{unit}.log").read_text(), "another process did it again"


def test_after_a_killed_driver_only_missing_units_are_done(place: PicturePairs, tmp_path: Path) -> None:
    process = place.start("preprocess", f"preprocess.output={tmp_path}", "cluster.num_cpus=2")
    in_the_middle(tmp_path, process)
    kill_tree(process.pid)
    process.communicate(timeout=PATIENCE_S)
    assert not (tmp_path / "manifest.json").exists()
    done = mtimes_of(tmp_path, "units/*.json")
    shards = mtimes_of(tmp_path, "shards/[0-9a-f]*")
    assert 0 < len(done) < NUM_UNITS
    printed = place.run("preprocess", f"preprocess.output={tmp_path}")
    assert f"{len(done)} reused" in printed
    assert outputs_of(tmp_path) == place.undisturbed()
    assert mtimes_of(tmp_path, "units/*.json").items() >= done.items()
    ours = {name for name in shards if Path(name).name.split("-")[0] in {Path(unit).stem for unit in done}}
    after = mtimes_of(tmp_path, "shards/*")
    assert {name: after[name] for name in ours} == {name: shards[name] for name in ours}


class Nodes:
    """A Ray head without CPUs and worker nodes of one CPU each, every one a process tree of its own.

    They start one after the other: Ray gives a raylet 30 s to register, too few for several at once on a busy machine.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        # Where no mode is given, Ray's head asks for the token that lies in the home of whoever runs the tests.
        own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
        self._env = {**os.environ, "PYTHONPATH": str(ROOT), **own}
        self._all: list[subprocess.Popen[bytes]] = []
        self.workers: list[subprocess.Popen[bytes]] = []

    def start(self, count: int) -> None:
        """The head and `count` workers; returns when they are in the cluster."""
        _, printed = self._start("--head", "--port=0", "--num-cpus=0", "--include-dashboard=false",
                                 f"--temp-dir={self._folder}")  # fmt: skip
        self.address = re.search(r"address='([\d.]+:\d+)'", printed)[1]
        self.workers = [self._start(f"--address={self.address}", "--num-cpus=1")[0] for _ in range(count)]

    def close(self) -> None:
        for process in reversed(self._all):
            if process.poll() is None:
                kill_tree(process.pid)
            process.wait(timeout=30)

    def _start(self, *arguments: str, attempts: int = 3) -> tuple[subprocess.Popen[bytes], str]:
        """A node and what it printed; one that gives up while it starts is started again, as a supervisor would."""
        ray = Path(sys.executable).with_name("ray")
        for _ in range(attempts):
            path = Path(self._folder, f"node{len(self._all)}.txt")
            with open(path, "wb") as log:
                process = subprocess.Popen([ray, "start", "--block", *arguments], env=self._env, stdout=log, stderr=log)
            self._all.append(process)
            deadline_s = time.monotonic() + PATIENCE_S
            while process.poll() is None and time.monotonic() < deadline_s:
                printed = re.sub(r"\x1b\[\d+m", "", path.read_text())
                if "To terminate the Ray runtime" in printed or "--block" in printed:
                    return process, printed
                time.sleep(0.1)
            if process.poll() is None:
                kill_tree(process.pid)
        raise AssertionError(f"{attempts} attempts, the last one printed:\n{path.read_text()}")


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # sockets need short paths
        cluster = Nodes(folder)
        try:
            cluster.start(2)
            yield cluster
        finally:
            cluster.close()


def test_a_node_killed_in_the_middle_of_its_units_changes_nothing(
    place: PicturePairs, tmp_path: Path, nodes: Nodes
) -> None:
    process = place.start("preprocess", f"preprocess.output={tmp_path}", f"cluster.address={nodes.address}")
    wait_until(lambda: len(units_under_way(tmp_path)) == 2, process)
    pid, unit = next(iter(units_under_way(tmp_path).items()))
    [victim] = [node for node in nodes.workers if node.pid in {parent.pid for parent in psutil.Process(pid).parents()}]
    kill_tree(victim.pid)
    finished(process)
    assert outputs_of(tmp_path) == place.undisturbed()
    assert f"pid {pid}\n" not in (tmp_path / "logs" / f"{unit}.log").read_text(), "the other node did it again"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", folder], capture_output=True, check=False)
    if mount.returncode != 0:
        pytest.skip(f"mounting a small disk needs more rights than this user has: {mount.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk_is_named_and_after_making_room_the_rest_is_done(place: PicturePairs, small_disk: Path) -> None:
    output = small_disk / "shards"
    needed = sum(map(len, place.undisturbed().values()))
    subprocess.run(["mount", "-o", f"remount,size={needed * 2}", small_disk], check=True)
    in_the_way = small_disk / "other"
    in_the_way.write_bytes(b"x" * int(needed * 1.4))
    process = place.start("preprocess", f"preprocess.output={output}", "cluster.num_cpus=2")
    printed = finished(process, code=1)
    assert "No space left on device" in printed and "make room on that disk" in printed
    assert "Traceback" not in printed
    done = mtimes_of(output, "units/*.json")
    assert 0 < len(done) < NUM_UNITS
    in_the_way.unlink()
    printed = place.run("preprocess", f"preprocess.output={output}")
    assert f"{len(done)} reused" in printed
    assert outputs_of(output) == place.undisturbed()
    assert mtimes_of(output, "units/*.json").items() >= done.items()


def test_units_that_never_find_enough_memory_end_the_job_with_a_cure(place: PicturePairs, tmp_path: Path) -> None:
    few = (f"preprocess.output={tmp_path}", "cluster.num_cpus=2", f"preprocess.sources.0.limit={2 * ROWS_PER_UNIT}")
    process = place.start("preprocess", *few, env={"RAY_memory_usage_threshold": "0.01"})
    printed = finished(process, code=1)
    assert "2 of 2 work units failed" in printed
    assert "most likely out of memory" in printed and "lower preprocess.workers" in printed
    assert len(list(tmp_path.glob("failed/*.json"))) == 2
    assert "2 work units made" in place.run("preprocess", *few)


def test_an_object_store_that_fails_again_and_again_changes_nothing(place: PicturePairs, s3_server: S3Server) -> None:  # noqa: F811
    raw = place.records.parent
    for path in raw.rglob("*"):
        if path.is_file():
            storage.write_atomic(f"s3://{s3_server.bucket}/raw/{path.relative_to(raw)}", path.read_bytes())
    outputs = [f"s3://{s3_server.bucket}/{name}" for name in ("calm", "stormy")]
    overrides = [f"data_root=s3://{s3_server.bucket}/raw", f"preprocess.sources.0.limit={4 * ROWS_PER_UNIT}"]
    prepare(place.config(*overrides, f"preprocess.output={outputs[0]}"))
    with FaultyProxy(s3_server.endpoint) as proxy:
        process = place.start(
            "preprocess", *overrides, f"preprocess.output={outputs[1]}", env={"AWS_ENDPOINT_URL": proxy.endpoint}
        )
        while process.poll() is None:
            seen = len(proxy.requests)
            proxy.fail(2, status=500)
            proxy.cut(1, after=1000)
            proxy.delay(2, seconds=0.3)
            while process.poll() is None and len(proxy.requests) < seen + 12:
                time.sleep(0.02)
        finished(process)
    assert len(proxy.requests) > 200, "so every twelfth of them met five faults"
    calm = outputs_of(outputs[0])
    assert "manifest.json" in calm and len([name for name in calm if name.startswith("shards/")]) == 2 * 4
    assert outputs_of(outputs[1]) == calm
