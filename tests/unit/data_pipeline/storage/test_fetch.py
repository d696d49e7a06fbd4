"""Fetching from the web: allowed hosts only, bounded in bytes and time, passing failures tried again."""

import asyncio
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler

import pytest
from loopback import serving

from data_pipeline import storage
from data_pipeline.errors import RecordError, Unavailable
from data_pipeline.storage import web as web_module

DATA = b"picture" * 1000


class Web(BaseHTTPRequestHandler):
    """Each path says how the answer goes wrong."""

    protocol_version = "HTTP/1.1"
    num_asked = 0

    def do_GET(self) -> None:
        Web.num_asked += 1
        name = self.path[1:]
        if name.startswith("status/"):
            self._answer(int(name[7:]), b"")
        elif name == "sometimes":
            self._answer(503 if Web.num_asked < 3 else 200, DATA)
        elif name.startswith("to/"):
            self._answer(302, b"", {"Location": name[3:]})
        elif name == "around":
            self._answer(302, b"", {"Location": "/around"})
        elif name == "lost":
            self._answer(302, b"")
        elif name == "unsized":
            self.send_response_only(200)
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(DATA)
            self.close_connection = True
        elif name == "cut":
            self._answer(200, DATA[: 7000 if Web.num_asked > 1 else 10], {}, size=len(DATA))
            self.close_connection = True
        elif name == "slow":
            self._answer(200, b"", {}, size=100)
            self._dribble()
        elif name == "dribble":
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            self._dribble()
        elif name == "zipped":
            self._answer(200, DATA, {"Content-Encoding": "gzip"})
        else:
            self._answer(200, DATA)

    def _dribble(self) -> None:
        """A byte every 50 ms for 5 s, or until the client is gone."""
        for _ in range(100):
            time.sleep(0.05)
            try:
                self.wfile.write(b"x")
                self.wfile.flush()
            except OSError:
                break
        self.close_connection = True

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None, size: int | None = None) -> None:
        self.send_response_only(status)
        for key, value in {**(headers or {}), "Content-Length": str(len(data) if size is None else size)}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(web_module, "_FIRST_PAUSE_S", 0.01)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    Web.num_asked = 0
    with serving(Web) as url:
        yield url


def get(url: str, *, hosts: tuple[str, ...] = ("127.0.0.1",), max_bytes: int = 10_000, timeout_s: float = 5.0) -> bytes:
    return storage.fetch(url, allowed_hosts=hosts, max_bytes=max_bytes, timeout_s=timeout_s)


@pytest.mark.parametrize("path", ["a.jpg", "unsized", "sometimes", "cut", "to//a.jpg", "to//to//a.jpg"])
def test_what_is_there_comes_whole(web: str, path: str) -> None:
    assert get(f"{web}/{path}") == DATA


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("status/404", "missing_media"),
        ("status/410", "missing_media"),
        ("around", "remote_media"),
        ("lost", "remote_media"),
        ("zipped", "remote_media"),
        ("to/http://example.invalid/a.jpg", "remote_media"),
        ("to/file:///etc/hostname", "remote_media"),
    ],
)
def test_what_goes_wrong_refuses_the_record(web: str, path: str, reason: str) -> None:
    with pytest.raises(RecordError) as caught:
        get(f"{web}/{path}")
    assert caught.value.reason == reason
    assert path.removeprefix("to/") in caught.value.detail
    assert Web.num_asked == {"around": 6}.get(path, 1)


@pytest.mark.parametrize("path", ["a.jpg", "unsized"])
def test_more_bytes_than_allowed_are_not_read(web: str, path: str) -> None:
    assert len(get(f"{web}/{path}", max_bytes=len(DATA))) == len(DATA)
    with pytest.raises(RecordError, match="media_too_large"):
        get(f"{web}/{path}", max_bytes=len(DATA) - 1)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.invalid/a.jpg",
        "http://127.0.0.1.example.invalid/a.jpg",
        "http://sub.127.0.0.1/a.jpg",
        "http://127.0.0.1@example.invalid/a.jpg",
        "http://user:word@127.0.0.1/a.jpg",
        "http://127.0.0.1\\@example.invalid/a.jpg",
        "http://example.invalid\\@127.0.0.1/a.jpg",
        "http://localhost/a.jpg",
        "http:///a.jpg",
        "http://[127.0.0.1/a.jpg",
        "http://127.0.0.1:99999/a.jpg",
        "file:///etc/hostname",
        "ftp://127.0.0.1/a.jpg",
        "//127.0.0.1/a.jpg",
    ],
)
def test_only_allowed_hosts_are_asked(web: str, url: str) -> None:
    with pytest.raises(RecordError, match="remote_media"):
        get(url)
    assert Web.num_asked == 0


def test_an_entry_may_name_the_port(web: str) -> None:
    port = web.rsplit(":", 1)[1]
    assert get(f"{web}/a.jpg", hosts=(f"127.0.0.1:{port}",)) == DATA
    with pytest.raises(RecordError, match="not in media.allowed_hosts"):
        get(f"{web}/a.jpg", hosts=("127.0.0.1:1",))
    with pytest.raises(RecordError, match="not in media.allowed_hosts"):
        get(f"{web}/a.jpg", hosts=())


@pytest.mark.parametrize("path", ["slow", "dribble"])
def test_a_slow_answer_is_given_up_in_time(web: str, path: str) -> None:
    """Each byte, of the headers too, comes soon after the one before; the whole takes 5 s."""
    start_s = time.monotonic()
    with pytest.raises(Unavailable, match="it took too long; tried 1 times"):
        get(f"{web}/{path}", timeout_s=0.5)
    assert time.monotonic() - start_s < 2


def test_a_name_that_is_looked_up_for_long_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object, **__: object) -> list[object]:
        time.sleep(3)
        return []

    monkeypatch.setattr("socket.getaddrinfo", look_up)
    start_s = time.monotonic()
    with pytest.raises(Unavailable, match="it took too long"):
        get("http://example.invalid/a.jpg", hosts=("example.invalid",), timeout_s=0.5)
    assert time.monotonic() - start_s < 2


def test_a_caller_inside_an_event_loop_is_served(web: str) -> None:
    async def ask() -> bytes:
        return get(f"{web}/a.jpg")

    assert asyncio.run(ask()) == DATA


@pytest.mark.usefixtures("web")  # its short pauses
def test_a_host_may_be_written_in_its_own_letters() -> None:
    for url in ("http://b\u00fccher.invalid/a.jpg", "http://xn--bcher-kva.invalid/a.jpg"):
        for host in ("b\u00fccher.invalid", "xn--bcher-kva.invalid"):
            with pytest.raises(Unavailable, match="ConnectError"):
                get(url, hosts=(host,))


def test_a_host_that_does_not_answer_refuses_no_record(web: str) -> None:
    with pytest.raises(Unavailable, match="tried 3 times"):
        get("http://127.0.0.1:9/a.jpg")


@pytest.mark.parametrize("status", [401, 403, 407, 429, 500, 503])
def test_a_host_that_does_not_give_it_now_refuses_no_record(web: str, status: int) -> None:
    with pytest.raises(Unavailable, match=f"HTTP {status}"):
        get(f"{web}/status/{status}")
