"""A judge on this machine: an OpenAI-compatible server that answers by a rule, and fails as it is told.

    with JudgeServer(lambda first, second: "1" if first < second else "2") as server:
        server.plan(Fault(status=429, headers={"Retry-After": "1"}), Fault(cut_after=20))
        ... evaluate.judge.url=server.url

`asked` lists (first, second) of every question that was answered, `num_requests` counts all. The short question before
the work is answered, and counted apart.
"""

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any, Self

from loopback import serving

_ANSWERS = re.compile(r"\[Answer 1\]\n(.*?)\n\[End of answer 1\].*\[Answer 2\]\n(.*?)\n\[End of answer 2\]", re.DOTALL)
USAGE = {"prompt_tokens": 100, "completion_tokens": 7}


@dataclass(frozen=True)
class Fault:
    """What happens to one question."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """In place of a completion."""
    cut_after: int | None = None
    """Bytes of the body after which the connection is closed."""
    delay_s: float = 0.0


def completion(text: str | None, usage: Any = USAGE) -> bytes:
    """The body of an answer."""
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}], "usage": usage}).encode()


class JudgeServer:
    """Answers `rule(first, second)` to every question.

    Args:
        asked: finds both in it; what it does not match is the short question before the work.
    """

    def __init__(self, rule: Callable[[str, str], str], asked: re.Pattern[str] = _ANSWERS) -> None:
        self.rule = rule
        self._pattern = asked
        self._faults: list[Fault] = []
        self._lock = threading.Lock()
        self.asked: list[tuple[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.authorizations: set[str | None] = set()
        self.num_requests = 0
        self.tried_out = 0
        self.under_way = self.most_under_way = 0

    def plan(self, *faults: Fault) -> None:
        """What the next questions meet, one each."""
        with self._lock:
            self._faults += faults

    def __enter__(self) -> Self:
        self._serving = serving(type("Handler", (_Handler,), {"owner": self}))
        self.url = f"{self._serving.__enter__()}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    def take(self, body: dict[str, Any], authorization: str | None) -> tuple[Fault, bytes]:
        """Note the request; how it ends, and with what."""
        text = "".join(part.get("text", "") for part in body["messages"][0]["content"])
        found = self._pattern.search(text)
        with self._lock:
            self.authorizations.add(authorization)
            self.bodies.append(body)
            self.num_requests += 1
            if found is None:
                self.tried_out += 1
            fault = self._faults.pop(0) if self._faults and found is not None else Fault()
            if found is not None and fault.status == 200 and fault.cut_after is None:
                self.asked.append((found[1], found[2]))
        return fault, fault.body or completion("2" if found is None else self.rule(found[1], found[2]))


class _Handler(BaseHTTPRequestHandler):
    owner: JudgeServer
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        owner = self.owner
        with owner._lock:
            owner.under_way += 1
            owner.most_under_way = max(owner.most_under_way, owner.under_way)
        try:
            self._answer()
        except OSError:
            self.close_connection = True  # the client is gone
        finally:
            with owner._lock:
                owner.under_way -= 1

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            self._send(404, b'{"error": "no such path"}', {})
            return
        fault, data = self.owner.take(body, self.headers.get("Authorization"))
        time.sleep(fault.delay_s)
        self._send(fault.status, data, fault.headers, fault.cut_after)

    def _send(self, status: int, data: bytes, headers: dict[str, str], cut_after: int | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data[:cut_after])
        if cut_after is not None:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
