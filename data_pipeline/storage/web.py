"""Fetching media from the web: only from hosts that the recipe names, bounded in bytes and in time."""

import http.client
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Collection
from typing import Any

from data_pipeline.errors import RecordError

__all__ = ["fetch"]

_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.5
_MAX_REDIRECTS = 5
_PIECE_BYTES = 1 << 16
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "basereward"}
_PASSING_STATUS = (429, 500, 502, 503, 504)


class _Passing(Exception):
    """A failure that may pass; the text says which."""


def fetch(url: str, *, allowed_hosts: Collection[str], max_bytes: int, timeout_s: float) -> bytes:
    """What lies at the web address `url`.

    Every host on the way, redirects included, must be in `allowed_hosts`: an entry ``host`` stands for that host at
    any port, ``host:port`` for one port; nothing stands for subdomains.

    Args:
        url: an ``http://`` or ``https://`` address without user or password.
        allowed_hosts: the hosts that may be asked.
        max_bytes: more is refused, and not read.
        timeout_s: seconds for everything, tries after a passing failure included.

    Raises:
        RecordError: ``missing_media`` (404 or 410), ``media_too_large``, or ``remote_media`` (not allowed, or failed).
    """
    deadline = time.monotonic() + timeout_s
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return _follow(url, allowed_hosts, max_bytes, deadline)
        except _Passing as error:
            pause_s = _FIRST_PAUSE_S * 2 ** (attempt - 1)
            if attempt == _ATTEMPTS or time.monotonic() + pause_s >= deadline:
                raise RecordError("remote_media", f"{url}: {error}; tried {attempt} times") from error
            time.sleep(pause_s)
    raise AssertionError("unreachable: the last try returns or raises")


def _follow(url: str, allowed_hosts: Collection[str], max_bytes: int, deadline: float) -> bytes:
    opener = _opener()
    here = url
    for _ in range(_MAX_REDIRECTS + 1):
        _check_host(here, url, allowed_hosts)
        request = urllib.request.Request(here, headers=_HEADERS)  # noqa: S310 (`_check_host` saw the scheme)
        try:
            with opener.open(request, timeout=_left(deadline)) as response:
                return _read(response, url, max_bytes, deadline)
        except urllib.error.HTTPError as error:
            with error:
                here = urllib.parse.urljoin(here, _redirect(error, url))
        except (OSError, http.client.HTTPException) as error:
            raise _Passing(f"{type(error).__name__}: {error}") from error
    raise RecordError("remote_media", f"{url}: more than {_MAX_REDIRECTS} redirects")


def _opener() -> urllib.request.OpenerDirector:
    """Only http and https, and no redirects: `_follow` looks at their hosts first."""
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
    ):
        opener.add_handler(handler)
    return opener


def _check_host(here: str, url: str, allowed_hosts: Collection[str]) -> None:
    try:
        parts = urllib.parse.urlsplit(here)
        host, port = (parts.hostname or "").lower(), parts.port
    except ValueError as error:
        raise RecordError("remote_media", f"{url}: {error}") from error
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise RecordError("remote_media", f"{here!r} is no plain http or https address")
    allowed = {entry.lower() for entry in allowed_hosts}
    if host not in allowed and f"{host}:{port}" not in allowed:
        raise RecordError("remote_media", f"host {host!r} of {here!r} is not in media.allowed_hosts")


def _redirect(error: urllib.error.HTTPError, url: str) -> str:
    if error.code in (404, 410):
        raise RecordError("missing_media", f"{url}: HTTP {error.code}")
    if error.code in _PASSING_STATUS:
        raise _Passing(f"HTTP {error.code}")
    location = error.headers.get("Location")
    if error.code not in (301, 302, 303, 307, 308) or not location:
        raise RecordError("remote_media", f"{url}: HTTP {error.code} {error.reason}")
    return str(location)


def _read(response: Any, url: str, max_bytes: int, deadline: float) -> bytes:
    declared = response.headers.get("Content-Length")
    if declared is not None and declared.isdigit() and int(declared) > max_bytes:
        raise RecordError("media_too_large", f"{url}: {int(declared):,} bytes, at most {max_bytes:,} are read")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RecordError("remote_media", f"{url}: sent compressed, though that was not asked for")
    data = bytearray()
    while piece := response.read1(min(_PIECE_BYTES, max_bytes + 1 - len(data))):
        data += piece
        if len(data) > max_bytes:
            raise RecordError("media_too_large", f"{url}: more than {max_bytes:,} bytes")
        _left(deadline)
    if declared is not None and declared.isdigit() and len(data) != int(declared):
        raise _Passing(f"the answer broke off after {len(data):,} of {int(declared):,} bytes")
    return bytes(data)


def _left(deadline: float) -> float:
    """Seconds until `deadline`, of which there must be some."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise _Passing("it took too long")
    return left
