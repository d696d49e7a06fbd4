"""One real Ray cluster on this machine: token, dashboard, workers, and the end of it."""

import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

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


def test_token_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from cluster.auth import ensure_token, token_file

    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    ensure_token(token_file())
    first = token_file().read_text()
    ensure_token(token_file())
    assert token_file().read_text() == first
    assert len(first) == 64
    assert [path.name for path in token_file().parent.iterdir()] == ["ray_token"]
