"""Fetching media from the web: only from hosts that the recipe names, bounded in bytes and in time.

fetch (tries, in all `timeout_s`) -> _try_once (a thread) -> _follow (redirects, every address checked) -> _read (bytes)

Redirects are followed here and not by httpx2, because every host on the way needs the recipe's leave.
"""

import asyncio
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import TYPE_CHECKING

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, stop_before_delay, wait_exponential

from data_pipeline.errors import RecordError, RunError, Unavailable

if TYPE_CHECKING:  # httpx2 loads in 0.2 s, and most recipes allow no host
    import ssl

    import httpx2

__all__ = ["fetch", "is_passing", "retry_after_s", "trusted"]

_ATTEMPTS = 3
_FIRST_PAUSE_S = 0.5
_MAX_REDIRECTS = 5
_HEADERS = {"Accept-Encoding": "identity", "User-Agent": "basereward"}
_PASSING_STATUS = (429, 500, 502, 503, 504)
_DENIED_STATUS = (401, 403, 407)
_PORTS = {"http": 80, "https": 443}
_LATER_STATUS = (408, 425, 429)  # and 500 on


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
        timeout_s: seconds for everything: looking up names, connections, headers, bytes, redirects, and the tries
            after a passing failure.

    Raises:
        RecordError: ``missing_media`` (404 or 410), ``media_too_large``, or ``remote_media`` (not allowed, or no plain
            answer).
        Unavailable: the host doesn't answer, fails, or refuses to give it to us (401, 403, 407).
    """
    deadline = time.monotonic() + timeout_s
    again = Retrying(
        retry=retry_if_exception_type(_Passing),
        stop=stop_after_attempt(_ATTEMPTS) | stop_before_delay(timeout_s),
        wait=wait_exponential(_FIRST_PAUSE_S),
        reraise=True,
    )
    try:
        return again(_try_once, url, allowed_hosts, max_bytes, deadline)
    except _Passing as error:
        tries = again.statistics["attempt_number"]
        raise Unavailable(f"{url}: {error}; tried {tries} times") from error


def _try_once(url: str, allowed_hosts: Collection[str], max_bytes: int, deadline: float) -> bytes:
    """One try, given up at `deadline` whatever it waits for.

    An event loop can be stopped while it waits for the next byte of a header, which a socket's timeout, counted anew
    for every byte, can't. It has its own thread, since the caller may run in a loop; and a name that is being looked
    up can't be cancelled, so the caller doesn't wait for that thread to end.
    """
    left_s = max(0.0, deadline - time.monotonic())
    pool = ThreadPoolExecutor(1, "fetch")
    try:
        return pool.submit(asyncio.run, _within(left_s, url, allowed_hosts, max_bytes)).result(left_s)
    except TimeoutError:
        raise _Passing("it took too long") from None
    finally:
        pool.shutdown(wait=False)


async def _within(left_s: float, url: str, allowed_hosts: Collection[str], max_bytes: int) -> bytes:
    async with asyncio.timeout(left_s):
        return await _follow(url, allowed_hosts, max_bytes)


async def _follow(url: str, allowed_hosts: Collection[str], max_bytes: int) -> bytes:
    import httpx2

    here = _address(url, url)
    try:
        # No timeouts of the client's own: `_within` bounds everything at once.
        client = httpx2.AsyncClient(headers=_HEADERS, timeout=None, verify=trusted())
    except (ImportError, ValueError) as error:  # of a proxy that the environment names
        raise RunError(f"cannot fetch from the web: {error}; correct or unset ALL_PROXY and its like") from error
    async with client:
        for _ in range(_MAX_REDIRECTS + 1):
            _check_host(here, url, allowed_hosts)
            try:
                async with client.stream("GET", here) as response:
                    if response.is_success:
                        return await _read(response, url, max_bytes)
            except httpx2.RequestError as error:
                raise _Passing(f"{type(error).__name__}: {error}") from error
            here = _address(_redirect(response, url), url, here)
    raise RecordError("remote_media", f"{url}: more than {_MAX_REDIRECTS} redirects")


@lru_cache(maxsize=1)
def trusted() -> "ssl.SSLContext":
    """The certificates of this machine, read once (0.1 s)."""
    import httpx2

    return httpx2.create_ssl_context()


def is_passing(status: int) -> bool:
    """Whether a service that answers with this HTTP status may give another answer later."""
    return status in _LATER_STATUS or status >= 500


def retry_after_s(text: str | None) -> float:
    """Seconds that a ``Retry-After`` asks for, a number or a date; 0: none that can be read.

    >>> retry_after_s("7"), retry_after_s("0.5"), retry_after_s("soon"), retry_after_s(None)
    (7.0, 0.5, 0.0, 0.0)
    """
    text = (text or "").strip()
    try:
        if text.replace(".", "", 1).isdecimal():
            return float(text)
        until = parsedate_to_datetime(text)
        return max(0.0, (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError):
        return 0.0


def _address(text: str, url: str, base: "httpx2.URL | None" = None) -> "httpx2.URL":
    """The address as the client understands it, so that what is checked is what is asked."""
    import httpx2

    try:
        return httpx2.URL(text) if base is None else base.join(text)
    except (httpx2.InvalidURL, ValueError) as error:
        raise RecordError("remote_media", f"{url}: {text!r} is no web address: {error}") from error


def _check_host(here: "httpx2.URL", url: str, allowed_hosts: Collection[str]) -> None:
    if here.scheme not in _PORTS or not here.host or here.userinfo or (here.port or 1) > 65535:
        raise RecordError("remote_media", f"{url}: {str(here)!r} is no plain http or https address")
    port = here.port or _PORTS[here.scheme]
    names = {here.host, here.raw_host.decode("ascii")}  # the same host, its letters written out and as xn--...
    allowed = {entry.lower() for entry in allowed_hosts}
    if not allowed & (names | {f"{name}:{port}" for name in names}):
        raise RecordError("remote_media", f"host {here.host!r} of {str(here)!r} is not in media.allowed_hosts")


def _redirect(response: "httpx2.Response", url: str) -> str:
    status = response.status_code
    if status in (404, 410):
        raise RecordError("missing_media", f"{url}: HTTP {status}")
    if status in _PASSING_STATUS:
        raise _Passing(f"HTTP {status}")
    if status in _DENIED_STATUS:
        raise Unavailable(f"{url}: HTTP {status} {response.reason_phrase}")
    location = response.headers.get("Location")
    if status not in (301, 302, 303, 307, 308) or not location:
        raise RecordError("remote_media", f"{url}: HTTP {status} {response.reason_phrase}")
    return str(location)


async def _read(response: "httpx2.Response", url: str, max_bytes: int) -> bytes:
    declared = response.headers.get("Content-Length", "")
    if declared.isdigit() and int(declared) > max_bytes:
        raise RecordError("media_too_large", f"{url}: {int(declared):,} bytes, at most {max_bytes:,} are read")
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise RecordError("remote_media", f"{url}: sent compressed, though that was not asked for")
    data = bytearray()
    async for piece in response.aiter_raw():  # at most 64 KiB; fewer bytes than declared are a RequestError
        data += piece
        if len(data) > max_bytes:
            raise RecordError("media_too_large", f"{url}: more than {max_bytes:,} bytes")
    return bytes(data)
