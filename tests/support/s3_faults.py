"""A proxy in front of an S3 server that fails as it is told: errors, pauses, answers cut in the middle.

    with FaultyProxy(server.endpoint) as proxy:
        proxy.fail(3)                  # the next three requests get HTTP 500
        proxy.cut(1, after=1000)       # of the next answer only the first 1,000 bytes of the body are sent
        proxy.delay(1, seconds=0.2)

Give clients `proxy.endpoint`. The signature covers the Host header, so the server must accept any host, as SeaweedFS
does, and the header is passed on as it came.
"""

import http.client
import threading
import time
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from loopback import serving

_ERROR = b'<?xml version="1.0"?><Error><Code>InternalError</Code><Message>told to fail</Message></Error>'


@dataclass(frozen=True)
class Fault:
    """What happens to one request."""

    status: int = 0
    """Answer with this error and do not ask the server; 0: ask it."""
    cut_after: int | None = None
    """Bytes of the body that are sent before the connection is closed; None: all."""
    delay_s: float = 0.0
    """Pause before the request is passed on."""


class FaultyProxy:
    """Passes requests to `target` until it is told otherwise; `requests` lists (method, path, Range) of all."""

    def __init__(self, target: str) -> None:
        self._target = urllib.parse.urlsplit(target)
        self._faults: list[tuple[Callable[[str], bool], Fault]] = []
        self._lock = threading.Lock()
        self.requests: list[tuple[str, str, str]] = []

    def fail(self, count: int, *, status: int = 500, method: str = "") -> None:
        """The next `count` requests (of `method`, if given) get an error."""
        self._plan(count, method, Fault(status=status))

    def cut(self, count: int, *, after: int, method: str = "GET") -> None:
        """The next `count` answers end after so many bytes of the body."""
        self._plan(count, method, Fault(cut_after=after))

    def delay(self, count: int, *, seconds: float, method: str = "") -> None:
        """The next `count` requests are passed on late."""
        self._plan(count, method, Fault(delay_s=seconds))

    def heal(self) -> None:
        """Forget the faults that no request has met yet."""
        with self._lock:
            self._faults.clear()

    def __enter__(self) -> Self:
        self._serving = serving(type("Handler", (_Handler,), {"owner": self}))
        self.endpoint = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def _plan(self, count: int, method: str, fault: Fault) -> None:
        with self._lock:
            self._faults += [(lambda asked: method in ("", asked), fault)] * count

    def take(self, method: str, path: str, byte_range: str) -> Fault:
        """Note the request; the fault that it meets."""
        with self._lock:
            self.requests.append((method, path, byte_range))
            for i, (fits, fault) in enumerate(self._faults):
                if fits(method):
                    del self._faults[i]
                    return fault
        return Fault()

    def ask(self, method: str, path: str, headers: Any, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        """What the server behind answers."""
        connection = http.client.HTTPConnection(str(self._target.hostname), self._target.port, timeout=60)
        try:
            connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
            for name, value in headers.items():
                if name.lower() not in ("connection", "expect", "content-length", "transfer-encoding"):
                    connection.putheader(name, value)
            if body or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            answer = connection.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            connection.close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"

    def _pass_on(self) -> None:
        body = self._body()
        fault = self.owner.take(self.command, self.path, self.headers.get("Range", ""))
        time.sleep(fault.delay_s)
        if fault.status:
            status, headers, data = fault.status, [("Content-Type", "application/xml")], _ERROR
        else:
            status, headers, data = self.owner.ask(self.command, self.path, self.headers, body)
        self.send_response_only(status)
        is_head = self.command == "HEAD"
        for name, value in headers:
            if name.lower() not in ("connection", "transfer-encoding", "content-length") or (
                is_head and name.lower() == "content-length" and not fault.status
            ):
                self.send_header(name, value)
        if not is_head and status != 204:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if not is_head:
            self.wfile.write(data if fault.cut_after is None else data[: fault.cut_after])
        self.close_connection = fault.cut_after is not None

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            parts = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on  # noqa: N815

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: every request is in `FaultyProxy.requests`."""
