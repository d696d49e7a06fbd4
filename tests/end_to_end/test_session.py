"""One real Ray cluster on this machine: token, dashboard, workers, and the end of it."""

import os
import stat
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from s3_server import free_ports
from workplace import ROOT, kill_tree

from cluster.auth import ensure_token, token_file
from cluster.session import ClusterInfo, ClusterUnavailable, ray_session


@pytest.fixture(scope="module")
def session() -> Iterator[ClusterInfo]:
    with ray_session(None, num_cpus=1, env={"BASEREWARD_PROBE": "7"}, device="cpu") as info:
        yield info
    assert not ray.is_initialized()


def get_status(url: str, token: str | None = None) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_token_is_private_and_the_dashboard_asks_for_it(session: ClusterInfo) -> None:
    assert session.token_file is not None and session.dashboard_url is not None
    assert stat.S_IMODE(session.token_file.stat().st_mode) == 0o600
    assert stat.S_IMODE(session.token_file.parent.stat().st_mode) == 0o700
    assert session.dashboard_url.startswith("http://127.0.0.1:")
    url = f"{session.dashboard_url}/api/jobs/"
    assert get_status(url) == 401
    assert get_status(url, "not-the-token") == 403
    assert get_status(url, session.token_file.read_text()) == 200


def test_workers_import_the_packages_and_see_the_environment(session: ClusterInfo) -> None:
    @ray.remote
    def probe() -> tuple[str, str, str]:
        import os

        import data_pipeline.errors

        return data_pipeline.errors.__name__, os.environ["BASEREWARD_PROBE"], os.environ["CUDA_VISIBLE_DEVICES"]

    assert session.started_here
    assert session.num_cpus == 1
    assert not session.on_gpus  # nor are they seen, where there are some
    assert ray.get(probe.remote()) == ("data_pipeline.errors", "7", "")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:10001", "127.0.0.1:", "no-such-host.invalid:6379"])
def test_wrong_address_is_one_line(address: str) -> None:
    with pytest.raises(ClusterUnavailable) as caught, ray_session(address):
        pass
    assert address in str(caught.value)
    assert "\n" not in str(caught.value)


# Joins, and has an actor answer: with a token beside a cluster without, an actor would end before it begins.
ASK = """
import sys
import ray
from cluster.session import ray_session
with ray_session(sys.argv[1]):
    print("answered", ray.get(ray.remote(num_cpus=0)(type("Actor", (), {"ask": lambda self: 7})).remote().ask.remote()))
"""


@pytest.mark.drill
def test_a_token_is_kept_back_from_a_cluster_that_asks_for_none(tmp_path: Path) -> None:
    ensure_token(tmp_path / "basereward" / "ray_token")  # as an earlier cluster of this machine leaves one
    env = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    env |= {"XDG_STATE_HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "RAY_USAGE_STATS_ENABLED": "0"}
    port, client_port = free_ports(2)
    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # sockets need short paths
        ray_command = str(Path(sys.executable).with_name("ray"))
        command = [ray_command, "start", "--head", "--block", f"--port={port}", "--include-dashboard=false"]
        command += ["--node-ip-address=127.0.0.1", "--num-cpus=1", "--object-store-memory=80000000"]
        command += [f"--temp-dir={folder}", f"--ray-client-server-port={client_port}"]
        with open(tmp_path / "head.txt", "wb") as log:
            head = subprocess.Popen(command, env=env | {"RAY_AUTH_MODE": "disabled"}, stdout=log, stderr=log)
        try:
            deadline_s = time.monotonic() + 120
            while "To terminate the Ray runtime" not in (tmp_path / "head.txt").read_text():
                assert head.poll() is None and time.monotonic() < deadline_s, (tmp_path / "head.txt").read_text()
                time.sleep(0.2)
            asked = [sys.executable, "-c", ASK, f"127.0.0.1:{port}"]
            done = subprocess.run(asked, env=env, capture_output=True, text=True, timeout=200, check=False)
            assert done.stdout.endswith("answered 7\n"), done.stdout + done.stderr
        finally:
            if head.poll() is None:
                kill_tree(head.pid)
            head.wait(timeout=20)


def test_token_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ensure_token(token_file())
    first = token_file().read_text()
    ensure_token(token_file())
    assert token_file().read_text() == first
    assert len(first) == 64
    assert [path.name for path in token_file().parent.iterdir()] == ["ray_token"]


NO_ROOM = """
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import open_cluster
with open_cluster(ClusterConfig()):
    pass
"""


def test_ray_that_does_not_start_is_one_error(tmp_path: Path) -> None:
    """Its folder for sockets can't be made."""
    (tmp_path / "file").write_text("in the way")
    env = {**os.environ, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(tmp_path / "file")}
    done = subprocess.run([sys.executable, "-c", NO_ROOM], env=env, capture_output=True, text=True, timeout=120)
    assert done.stderr.splitlines()[-1].startswith("data_pipeline.errors.RunError: Ray did not start on this machine (")
