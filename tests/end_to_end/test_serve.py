"""`basereward serve` on Ray Serve, under load: a replica is killed, the alias moves, Ctrl-C ends it."""

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import child_process
import httpx2
import psutil
import pytest
from prepared_toys import mixed_toy, write_toy
from served_toys import log_training
from workplace import ROOT

from jobs.registry.registry import ModelRegistry
from jobs.serve.client import RewardClient
from jobs.serve.models import find_model, load_model
from rm_core.serving.config import ServeConfig

pytestmark = pytest.mark.drill

TOKEN = "a token of this drill"
GIVEN = [
    {
        "prompt": f"Which colours are there in number {number}?",
        "responses": ["Red.", "Blue.", "Red and blue."][: number + 1],
    }
    for number in range(3)
]


class Served:
    """A registered model of two versions, and what each of them gives."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.uri = f"sqlite:///{folder}/mlflow.db"
        shards, tokens = Path(write_toy(folder / "data" / "shards", mixed_toy(4))), folder / "data" / "toy-model"
        self.registry = ModelRegistry(self.uri)
        self.versions = []
        for seed in (1, 2):
            run_id = log_training(folder / "mlflow.db", folder / f"m{seed}", "tiny", seed, tokens, shards)
            self.versions.append(self.registry.register("toy", self.registry.resolve(f"runs:/{run_id}"), tags={}))
        self.registry.set_alias(self.versions[0], "champion")
        self.expected: dict[str, list[list[float]]] = {}
        for version in self.versions:
            scorer = load_model(find_model(version.address, self.uri, {}), ServeConfig()).scorer
            self.expected[version.address] = [list(one.rewards) for one in scorer.score(GIVEN)]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    return Served(tmp_path_factory.mktemp("served"))


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def command(served: Served, *words: str) -> Iterator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The command, once it answers: its process, its address, and the lines that it prints."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "BASEREWARD_SERVE_TOKEN": TOKEN}
    port = free_port()
    process = child_process.start(
        [sys.executable, "-m", "jobs", "serve", *words, f"tracking.uri={served.uri}", f"serve.port={port}"],
        cwd=served.folder, env=env,
    )  # fmt: skip
    lines: list[str] = []
    assert process.stdout is not None
    reader = threading.Thread(target=lambda: lines.extend(iter(process.stdout.readline, "")))
    reader.start()
    try:
        until_s = time.monotonic() + 300
        while not any("Ctrl-C ends it" in line for line in lines):
            assert process.poll() is None and time.monotonic() < until_s, "".join(lines)
            time.sleep(0.2)
        yield process, f"http://127.0.0.1:{port}", lines
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(60)
        reader.join(10)


class Load:
    """Threads that ask for ever; every answer is kept."""

    def __init__(self, url: str, threads: int = 4) -> None:
        self.url = url
        self.outcomes: list[tuple[int, int, Any]] = []
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(threads)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def _ask(self, number: int) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        with httpx2.Client(base_url=self.url, headers=headers, timeout=60, verify=False) as client:
            while not self._stop.is_set():
                place = number = (number + 1) % len(GIVEN)
                try:
                    answer = client.post("/score", json=GIVEN[place])
                    found = answer.json() if answer.status_code == 200 else answer.text
                    self.outcomes.append((answer.status_code, place, found))
                except httpx2.TransportError as error:
                    self.outcomes.append((0, place, repr(error)))
                    time.sleep(0.05)

    def wait_for(self, met: Any, seconds: float = 120) -> None:
        until_s = time.monotonic() + seconds
        while not met():
            assert time.monotonic() < until_s, Counter(status for status, _, _ in self.outcomes)
            time.sleep(0.1)

    def after(self, start: int, count: int) -> None:
        self.wait_for(lambda: sum(status == 200 for status, _, _ in self.outcomes[start:]) >= count)


def replicas(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [
        one for one in psutil.Process(process.pid).children(recursive=True)
        if "ServeReplica" in " ".join(one.cmdline())
    ]  # fmt: skip


def test_a_killed_replica_and_a_moved_alias_cost_no_reward(served: Served) -> None:
    words = ("models:/toy@champion", "serve.replicas=2", "serve.cpus=0.5", "serve.watch_s=0.5")
    first, second = (version.address for version in served.versions)
    with command(served, *words) as (process, url, lines):
        with Load(url) as load:
            load.after(0, 20)
            assert {found["model"] for _, _, found in load.outcomes} == {first}
            found = replicas(process)
            assert len(found) == 2
            killed_at = len(load.outcomes)
            os.kill(found[0].pid, signal.SIGKILL)
            load.after(killed_at, 20)
            load.wait_for(lambda: len(replicas(process)) == 2)
            moved_at = len(load.outcomes)
            served.registry.set_alias(served.versions[1], "champion")
            for _ in range(2):  # both replicas follow
                load.wait_for(lambda: any(one[0] == 200 and one[2]["model"] == second for one in load.outcomes))
            load.wait_for(lambda: all(one[2]["model"] == second for one in load.outcomes[-12:] if one[0] == 200))
            settled_at = len(load.outcomes)
            load.after(settled_at, 12)
        for status, place, answer in load.outcomes:
            assert status in (200, 429, 500, 503), answer
            if status == 200:
                assert answer["rewards"] == pytest.approx(served.expected[answer["model"]][place], abs=1e-5)
        lost = Counter(status for status, _, _ in load.outcomes if status != 200)
        assert sum(lost.values()) <= 4 * 4, lost  # those that the dead replica had, and who came before it was known
        assert {status for status, _, _ in load.outcomes[moved_at:]} == {200}, "the move costs no request"
        assert {one[2]["model"] for one in load.outcomes[settled_at:]} == {second}
        check_metrics(lines, len(load.outcomes))
        child_process.interrupt(process)
        assert process.wait(60) == 0
    assert lines[-1] == "ending: requests under way are answered first\n", lines
    assert not any(TOKEN in line for line in lines)


def check_metrics(lines: list[str], asked: int) -> None:
    [address] = re.findall(r"Prometheus reads (\S+)", "".join(lines))
    until_s = time.monotonic() + 60
    while time.monotonic() < until_s:
        text = urllib.request.urlopen(address, timeout=10).read().decode()
        counted = re.findall(r'^ray_basereward_requests_total\{.*status="200".*\} (\S+)$', text, re.MULTILINE)
        if sum(map(float, counted)) >= 0.5 * asked:  # the dead replica's may be gone
            assert "ray_basereward_computed_tokens_total" in text
            return
        time.sleep(1)
    raise AssertionError(counted)


def test_several_models_side_by_side_and_the_end_by_a_signal(served: Served) -> None:
    one, other = served.versions
    second = f"serve.models={{second: {served.folder / 'm2' / 'export'}}}"
    with command(served, one.address, second, "serve.cpus=0.5") as (process, url, _):
        for place, (address, version) in enumerate(((url, one), (f"{url}/models/second", other))):
            with RewardClient(address, TOKEN) as client:
                found = client.score(GIVEN[place]["prompt"], GIVEN[place]["responses"])
                assert found.rewards == pytest.approx(served.expected[version.address][place], abs=1e-5)
        assert httpx2.get(f"{url}/models/second/ready", verify=False).json()["ready"]
        assert "/score" in httpx2.get(f"{url}/models/second/openapi.json", verify=False).json()["paths"]
        process.terminate()
        assert process.wait(60) == 143
