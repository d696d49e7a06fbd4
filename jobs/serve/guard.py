"""What a request has to pass before anything reads it: its token, its size, and the time in which it comes in.

    headers -> token, else 401 -> declared size, else 413 -> room for it, else 429 -> body in time, else 408 -> the app

A body is read whole here, so that nothing behind waits for a slow client; one that is cut off reaches nobody. Who is
refused before the body was read gets the answer at once, and what still comes is dropped for a moment: closing a
connection with unread bytes resets it, and the client would lose the answer.
"""

import asyncio
import base64
import binascii
import contextlib
import hashlib
import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Guard", "GuardLimits", "error_body", "token_hash"]

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset(("/health", "/ready", "/docs", "/openapi.json"))
"""They say nothing that is worth a token, and orchestrators have none."""
DOCS_FILES = "/docs/files/"
"""Below it are scripts and styles of the page of routes, open as that is."""


_LINGER_S = 1.0
_LINGER_BYTES = 1 << 24
"""What is dropped of a refused body, at most."""


@dataclass(frozen=True, kw_only=True)
class GuardLimits:
    """See `ServeConfig`."""

    body_bytes: int
    bodies_bytes: int
    body_timeout_s: float


class _Refused(Exception):
    def __init__(self, status: int, reason: str, message: str, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.headers = headers


class _Gone(Exception):
    """The client has closed the connection."""


def token_hash(token: str) -> str:
    """What is kept of a token: sha256, hex."""
    return hashlib.sha256(token.encode()).hexdigest()


def error_body(reason: str, message: str) -> bytes:
    """The JSON of an error."""
    return json.dumps({"error": {"type": reason, "message": message}}, ensure_ascii=False).encode("utf-8", "replace")


class Guard:
    """An ASGI app around another one.

    Args:
        token_sha256: of the token that every request brings; None: none is needed.
        retry_after_s: seconds after which there is room again.
    """

    def __init__(
        self, app: App, *, token_sha256: str | None, limits: GuardLimits, retry_after_s: Callable[[], int]
    ) -> None:
        self._app = app
        self._token_sha256 = token_sha256
        self._limits = limits
        self._retry_after_s = retry_after_s
        self._bytes_under_way = 0

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it here."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        held = 0
        try:
            self._check_token(scope)
            held = self._declared(scope)
            self._check_room(held)
            self._bytes_under_way += held
            body = await self._read(receive)
        except _Refused as refused:
            self._bytes_under_way -= held
            await _answer(receive, send, refused)
            return
        except _Gone:
            self._bytes_under_way -= held
            return
        try:
            await self._app(scope, _replayed(body, receive), send)
        finally:
            self._bytes_under_way -= held

    def _check_token(self, scope: MutableMapping[str, Any]) -> None:
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        if self._token_sha256 is None or path in OPEN_PATHS or path.startswith(DOCS_FILES):
            return
        given = _token_of(scope)
        if given is None:
            raise _Refused(
                401, "no_token", "send the token: Authorization: Bearer TOKEN, or as a password",
                **{"WWW-Authenticate": "Bearer"},
            )  # fmt: skip
        if not hmac.compare_digest(token_hash(given), self._token_sha256):
            raise _Refused(401, "wrong_token", "the token is another one", **{"WWW-Authenticate": "Bearer"})

    def _declared(self, scope: MutableMapping[str, Any]) -> int:
        """Bytes that the body has, or may have where it does not say; 0 and refused where that is too much."""
        most = self._limits.body_bytes
        headers = dict(scope["headers"])
        if b"content-length" not in headers:
            return most if b"transfer-encoding" in headers else 0
        try:
            size = int(headers[b"content-length"])
        except ValueError:
            raise _Refused(400, "bad_length", "Content-Length is no number") from None
        if size > most:
            raise _Refused(413, "body_too_large", f"{size} bytes, at most {most} are read (serve.max_body_bytes)")
        return max(size, 0)

    def _check_room(self, size: int) -> None:
        if self._bytes_under_way and self._bytes_under_way + size > self._limits.bodies_bytes:
            message = f"bodies of {self._bytes_under_way} bytes are under way: come again"
            raise _Refused(429, "full", message, **{"Retry-After": str(self._retry_after_s())})

    async def _read(self, receive: Receive) -> bytes:
        """The whole body.

        Raises:
            _Refused: it is too large, or comes too slowly.
            _Gone: it is cut off.
        """
        parts: list[bytes] = []
        size, most = 0, self._limits.body_bytes
        try:
            async with asyncio.timeout(self._limits.body_timeout_s):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _Gone
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > most:
                        raise _Refused(413, "body_too_large", f"more than {most} bytes (serve.max_body_bytes)")
                    more = message.get("more_body", False)
        except TimeoutError:
            limit = f"{self._limits.body_timeout_s:g} s (serve.body_timeout_s)"
            raise _Refused(408, "body_too_slow", f"the body did not come in within {limit}") from None
        return b"".join(parts)


def _token_of(scope: MutableMapping[str, Any]) -> str | None:
    """The token in the header Authorization: a bearer's, or a password, as who asks ``http://any:TOKEN@...`` sends."""
    value: bytes = dict(scope["headers"]).get(b"authorization", b"")
    scheme, _, rest = value.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer" and rest:
        return rest.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).decode("utf-8").partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return None


def _replayed(body: bytes, receive: Receive) -> Receive:
    """The body in one message, and then what the server says."""
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return again


async def _answer(receive: Receive, send: Send, refused: _Refused) -> None:
    """The answer, whole; then the connection is closed, once the body has come or was waited for."""
    body = error_body(refused.reason, str(refused))
    headers = {
        "Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close", **refused.headers,
    }  # fmt: skip
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": raw})
    await send({"type": "http.response.body", "body": body, "more_body": True})
    await _drop_rest(receive)
    await send({"type": "http.response.body", "body": b""})


async def _drop_rest(receive: Receive) -> None:
    dropped = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_LINGER_S):
            while dropped < _LINGER_BYTES:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body", False):
                    return
                dropped += len(message.get("body", b""))
