"""The only module that imports fsspec: remote file systems, and which of their failures are worth another try.

``s3://`` reads its keys and its endpoint from the usual AWS variables. ``hf://`` (the Hugging Face hub) is read only
and must name a commit, because a branch may hold other bytes tomorrow. The client libraries retry single requests on
their own; what still fails is tried again here with a growing pause, and then ends the run with the url and the cause.
"""

import errno
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeVar

import fsspec
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    stop_after_delay,
    stop_all,
    wait_exponential,
)

from data_pipeline.errors import AccessDenied, MissingInput, RecipeError, RunError, Unavailable
from data_pipeline.storage.paths import name_of

__all__ = [
    "ATTEMPTS",
    "SCHEMES",
    "filesystem_of",
    "identities_in",
    "identity_of",
    "named",
    "patience",
    "remote_call",
    "wait_for_stores",
]

T = TypeVar("T")
logger = logging.getLogger(__name__)

ATTEMPTS = 4
"""How often a remote action is tried in all."""
SCHEMES = frozenset(("s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "hf", "file", "memory"))
"""Of stores; other file systems of fsspec (ftp, webhdfs, ssh, ...) would let an address reach anything."""
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 10.0
_PINNED_HUB_PATH = re.compile(r"hf://(?:(?:datasets|spaces)/)?[^/@]+/[^/@]+@[0-9a-f]{40}(?:/|$)")
_ABSENT = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
_LASTING = {errno.EINVAL, errno.ENOSYS, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT}
_REFUSED_STATUS = (400, 401, 403, 404, 410, 416, 422)


def filesystem_of(url: str) -> tuple[Any, str]:
    """The fsspec file system of `url` and the path inside it.

    Listings are not cached, since other processes write too; a pinned hub revision cannot change, so there they are.

    Raises:
        RecipeError: a hub path without a commit, or a plain web address.
        MissingInput: a scheme that nothing here can read.
    """
    if "::" in url or url.startswith(("http://", "https://")):
        raise RecipeError(f"{url!r} is no place for files: use a local path, s3://bucket/key or hf://datasets/...")
    scheme = url.partition("://")[0]
    if scheme not in SCHEMES:
        raise MissingInput(
            f"{url!r}: {scheme!r} is no store that is read; use a local path, s3://bucket/key or hf://..."
        )
    pinned = url.startswith("hf://")
    if pinned and not _PINNED_HUB_PATH.match(url):
        raise RecipeError(
            f"{url!r} names no commit, so its bytes may change: write hf://datasets/ORG/NAME@REVISION/path"
            " with the 40 hex digits that the hub shows under 'History'"
        )
    try:
        filesystem, path = fsspec.core.url_to_fs(url, **({} if pinned else {"use_listings_cache": False}))
    except (ValueError, ImportError) as error:
        raise MissingInput(f"cannot read {url!r}: {error}; use a local path or s3://bucket/key") from error
    return filesystem, str(path)


def identity_of(url: str) -> tuple[int, str] | None:
    """Size in bytes of the remote file and a text that changes with its bytes; None where there is no such file."""
    filesystem, path = filesystem_of(url)

    def look() -> tuple[int, str] | None:
        try:
            return _identity(filesystem.info(path))
        except (FileNotFoundError, NotADirectoryError):
            return None

    return remote_call(url, look)


def identities_in(folder: str) -> dict[str, tuple[int, str] | None]:
    """`identity_of` every file directly in a remote folder, by its name; empty where there is no such folder."""
    filesystem, path = filesystem_of(folder)

    def look() -> dict[str, tuple[int, str] | None]:
        try:
            found = filesystem.ls(path, detail=True)
        except (FileNotFoundError, NotADirectoryError):
            return {}
        return {name_of(one["name"]): _identity(one) for one in found}

    return remote_call(folder, look)


def _identity(info: dict[str, Any]) -> tuple[int, str] | None:
    if info["type"] != "file":
        return None
    marks = [str(info[key]) for key in ("ETag", "LastModified", "blob_id", "created", "mtime") if key in info]
    return int(info["size"]), " ".join(marks)


@dataclass
class _Patience:
    """How long this process waits for a store that fails while it is read."""

    seconds: float
    report: Callable[[str], None]


_PATIENCE = _Patience(0.0, logger.warning)


def wait_for_stores(seconds: float, report: Callable[[str], None]) -> None:
    """From now on, this process waits so long for a store that fails while it is read; writers have their own retries.

    Args:
        report: is told that it waits.
    """
    _PATIENCE.seconds, _PATIENCE.report = seconds, report


def patience() -> float:
    """Seconds that this process waits for a store that fails while it is read."""
    return _PATIENCE.seconds


def remote_call(url: str, action: Callable[[], T], *, is_read: bool = True) -> T:
    """What `action` returns; it is tried again where it fails for a reason that may pass: `ATTEMPTS` times, and a read
    for as long as `wait_for_stores` says.

    Raises:
        MissingInput: there is no such file; as `AccessDenied`: this machine may not read it.
        RunError: it failed; as `Unavailable`: for a reason that may pass. The message has the url and the last cause.
    """
    again = Retrying(
        retry=retry_if_exception(_may_pass),
        stop=stop_all(stop_after_attempt(ATTEMPTS), stop_after_delay(patience() if is_read else 0.0)),
        wait=wait_exponential(_FIRST_PAUSE_S, max=_LONGEST_PAUSE_S),
        before_sleep=partial(_warn, url),
        reraise=True,
    )
    try:
        return again(action)
    except _ABSENT:
        raise named(url) from None
    except _failures() as error:
        if _is_refused(error):
            raise AccessDenied(f"may not use {url!r}: {_words(error)}; check the keys and their rights") from error
        if _may_pass(error):
            tries = again.statistics["attempt_number"]
            raise Unavailable(f"{url!r} failed after {tries} tries: {_words(error)}") from error
        raise RunError(f"{url!r} failed: {_words(error)}") from error


def _may_pass(error: BaseException) -> bool:
    """Whether the same action may succeed later."""
    if isinstance(error, _ABSENT) or (isinstance(error, OSError) and error.errno in _LASTING):
        return False
    return isinstance(error, _failures()) and not _is_refused(error)


def _warn(url: str, state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    assert error is not None
    logger.warning("%s: %s; trying again in %.1f s", url, _words(error), state.upcoming_sleep)
    if state.attempt_number == ATTEMPTS:
        _PATIENCE.report(f"{url} can't be read ({_words(error)}): trying again for up to {patience():g} s")


def named(url: str) -> MissingInput:
    """The error that says which file is not there."""
    return MissingInput(f"no file {url!r}; check the path and data_root")


@lru_cache(maxsize=1)
def _failures() -> tuple[type[BaseException], ...]:
    """What the clients of s3 and of the hub raise; imported when something fails, since they load slowly."""
    import aiohttp
    import botocore.exceptions
    import httpx2

    return (OSError, aiohttp.ClientError, botocore.exceptions.BotoCoreError, httpx2.HTTPError)


def _is_refused(error: BaseException) -> bool:
    status = getattr(getattr(error, "response", None), "status_code", None)
    no_keys = type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError")
    return isinstance(error, PermissionError) or no_keys or status in _REFUSED_STATUS


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
