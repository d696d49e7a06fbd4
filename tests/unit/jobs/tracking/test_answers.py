"""A server that does not answer is said within seconds, however it does not answer."""

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import pytest

from data_pipeline.errors import RunError
from jobs.recipe.schema import TrackingConfig
from jobs.registry.registry import ModelRegistry
from jobs.tracking import answers
from jobs.tracking.answers import check_answers
from jobs.tracking.store import find_run, read_runs
from jobs.tracking.tracker import Tracker


class Server(http.server.BaseHTTPRequestHandler):
    """Answers with `status`; 0: with nothing, 1: with a byte now and then."""

    status = 200

    def do_GET(self) -> None:
        if self.status > 1:
            self.send_error(self.status)
        while self.status <= 1 and not self.server.ended.wait(0.05):  # type: ignore[attr-defined]
            if self.status == 1:
                self.wfile.write(b"H")

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "ANSWER_S", 0.3)
    monkeypatch.setattr(answers, "_PAUSE_S", 0.02)
    monkeypatch.setattr(answers, "_ANSWERED", set())


@pytest.fixture
def server() -> Iterator[str]:
    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    found.ended = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{found.server_port}"
    found.ended.set()  # type: ignore[attr-defined]
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts, and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def refused(uri: str) -> str:
    began_s = time.monotonic()
    with pytest.raises(RunError, match=f"tracking.uri={uri} does not answer") as caught:
        check_answers(uri)
    assert time.monotonic() - began_s < 3
    return str(caught.value)


@pytest.mark.parametrize("status", [200, 401, 403, 404, 429, 500])
def test_whatever_a_server_says_it_answers(server: str, status: int) -> None:
    Server.status = status
    check_answers(server)


@pytest.mark.parametrize("status", [0, 1, 502, 503, 504])
def test_a_server_that_does_not_answer_is_said(server: str, status: int) -> None:
    Server.status = status
    said = refused(server)
    assert f"HTTP {status}" in said if status > 1 else "is silent" in said or "timed out" in said


def test_a_server_that_accepts_and_hangs_and_one_that_is_not_there(silent: str) -> None:
    refused(silent)
    refused("http://127.0.0.1:9")
    refused("http://does-not-exist.invalid:5000")


def test_a_file_is_not_asked() -> None:
    check_answers("sqlite:///mlflow.db")


def test_a_server_that_comes_back_in_time_is_waited_for(server: str) -> None:
    Server.status = 503
    back = threading.Timer(0.6, lambda: setattr(Server, "status", 200))
    back.start()
    check_answers(server, patience_s=20)
    back.join()


def test_all_that_asks_a_server_says_so(silent: str, tmp_path: object) -> None:
    config = TrackingConfig(uri=silent)
    for ask in (
        lambda: read_runs(config, 1),
        lambda: find_run(silent, "ab12"),
        lambda: ModelRegistry(silent),
        lambda: Tracker(config, run_dir=str(tmp_path), run_name="x"),
    ):
        with pytest.raises(RunError, match="does not answer"):
            ask()
