"""The bytes of one file after the other into a draft, by ranges: what has come is asked for no second time.

    draft of N bytes -> hash them -> ask for bytes N- -> append -> cut off? ask for the rest -> checksum of each part

A part whose checksum is wrong is cut off the draft again, so that the next run asks for that part alone.
"""

import hashlib
import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Lock
from typing import BinaryIO, Self

import httpx2

from data_pipeline.errors import AccessDenied, CorruptData, MissingInput, RunError
from data_pipeline.storage.web import is_passing, retry_after_s, trusted
from data_pipeline.storage.writing import disk_room
from jobs.fetch.hub import Hub
from jobs.fetch.patience import Passing, Patience, Stopped
from jobs.fetch.wanted import HubFile, WantedFile

__all__ = ["Downloads", "checksum", "matching"]

_CHUNK_BYTES = 1 << 20
_TIMEOUT = httpx2.Timeout(60.0, connect=10.0)
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+)$")


def checksum(digest: str, size: int) -> "hashlib._Hash":
    """The function of a `HubFile.digest`, fed with what comes before the bytes."""
    if digest.startswith("sha256:"):
        return hashlib.sha256()
    return hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)


def matching(file: BinaryIO, parts: tuple[HubFile, ...]) -> bool:
    """Whether the rest of `file` is these parts, one after the other, and nothing more."""
    for part in parts:
        found, left = checksum(part.digest, part.size), part.size
        while left and (piece := file.read(min(left, _CHUNK_BYTES))):
            found.update(piece)
            left -= len(piece)
        if left or found.hexdigest() != part.digest.partition(":")[2]:
            return False
    return not file.read(1)


class Downloads:
    """Downloads of one command, which threads share; use it as a context.

    Attributes:
        received: bytes that came from the hub so far.
    """

    def __init__(self, hub: Hub, patience_s: float, stop: Event, report: Callable[[str], None]) -> None:
        self.received = 0
        self._hub = hub
        self._patience_s = patience_s
        self._stop = stop
        self._report = report
        self._lock = Lock()
        self._open: set[httpx2.Response] = set()

    def __enter__(self) -> Self:
        headers = {"Accept-Encoding": "identity", "User-Agent": "basereward", **self._hub.headers}
        try:  # the client takes the token off where a redirect leads to another host
            self._client = httpx2.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=True, verify=trusted())
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            raise RunError(f"cannot fetch from the web: {error}; correct or unset ALL_PROXY and its like") from error
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End whatever is under way; what has come of it stays in its draft."""
        self._stop.set()
        with self._lock:
            for response in self._open:  # wakes the thread that waits for bytes there
                waiting = response.extensions["network_stream"].get_extra_info("socket")
                with suppress(OSError):
                    waiting.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def bring(self, wanted: WantedFile, draft: str) -> None:
        """Append to `draft` what it lacks of the file, and check all of it.

        Raises:
            CorruptData: the bytes are others than the hub's listing says.
            MissingInput: the hub has it no more; as `AccessDenied`: not for this token.
            Unavailable, NoSpace, RunError: it failed; what has come stays in the draft.
        """
        os.makedirs(os.path.dirname(draft), exist_ok=True)
        with open(draft, "ab+") as file, disk_room(draft, wanted.size):
            if file.tell() > wanted.size:
                file.truncate(0)
            start = 0
            for part in wanted.parts:
                self._bring_part(wanted, part, file, start)
                start += part.size

    def _bring_part(self, wanted: WantedFile, part: HubFile, file: BinaryIO, start: int) -> None:
        digest = checksum(part.digest, part.size)
        have = self._hashed(file, start, part.size, digest)
        patience = Patience(self._patience_s, self._stop, self._report)
        url = self._hub.url(wanted.dataset, wanted.commit, part.path)
        while have < part.size:
            try:
                with self._asked(url, have, part) as (pieces, begins):
                    if begins != have:  # the address knows no ranges: it gave all of it
                        self._report(f"{part.path}: {self._hub.address} gives no ranges, so it begins anew")
                        file.truncate(start)
                        digest, have = checksum(part.digest, part.size), 0
                    for piece in pieces:
                        if have + len(piece) > part.size:
                            raise self._changed(part, "more bytes come than that")
                        file.write(piece)
                        file.flush()  # what a kill would lose would be asked for again
                        digest.update(piece)
                        have += len(piece)
                        self._count(len(piece))
                        patience.progressed()
                if have < part.size:
                    raise Passing(f"cut off at byte {have:,} of {part.size:,}")
            except httpx2.RequestError as error:
                self._check_stopped()
                patience.wait(part.path, Passing(f"{type(error).__name__} at byte {have:,} of {part.size:,}"))
            except Passing as failure:
                patience.wait(part.path, failure)
        if digest.hexdigest() != part.digest.partition(":")[2]:
            file.truncate(start)
            raise self._changed(part, f"its checksum is {digest.hexdigest()}")

    def _hashed(self, file: BinaryIO, start: int, size: int, digest: "hashlib._Hash") -> int:
        """How many bytes of a part the draft has, which `digest` is fed with; the file's place is behind them."""
        file.seek(start)
        have = 0
        while have < size and (piece := file.read(min(size - have, _CHUNK_BYTES))):
            self._check_stopped()
            digest.update(piece)
            have += len(piece)
        return have

    @contextmanager
    def _asked(self, url: str, have: int, part: HubFile) -> Iterator[tuple[Iterator[bytes], int]]:
        """The bytes that come, and at which byte they begin: at `have`, or at 0 where ranges are unknown."""
        self._check_stopped()
        with self._client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
            status = response.status_code
            if status in (401, 403):
                raise AccessDenied(
                    f"{part.path}: HTTP {status}; accept the data set's terms on the hub, and set HF_TOKEN (or the "
                    "variable that fetch.token_variable names)"
                )
            if status in (404, 410):
                raise MissingInput(f"{part.path}: HTTP {status}; the hub has it no more: take another hub.revision")
            if is_passing(status):
                raise Passing(f"HTTP {status}", retry_after_s(response.headers.get("Retry-After")))
            if status not in (200, 206):
                raise self._changed(part, f"bytes from {have:,} on are answered with HTTP {status}")
            yield self._pieces(response), self._beginning(response, part, have)

    def _beginning(self, response: httpx2.Response, part: HubFile, have: int) -> int:
        """Where the bytes of an answer begin, whose size is checked."""
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise RunError(
                f"{part.path}: sent compressed, though that was not asked for; fetch it from another address"
            )
        if response.status_code == 200:
            begins, total = 0, response.headers.get("Content-Length", str(part.size))
        else:
            said = response.headers.get("Content-Range", "")
            found = _RANGE.fullmatch(said)
            if found is None or int(found[1]) != have:
                raise RunError(f"{part.path}: asked for bytes from {have:,} on, got {said!r}; fetch it elsewhere")
            begins, total = have, found[2]
        if total != str(part.size):
            raise self._changed(part, f"it has {total} bytes now")
        return begins

    def _pieces(self, response: httpx2.Response) -> Iterator[bytes]:
        with self._lock:
            self._check_stopped()
            self._open.add(response)
        try:
            for piece in response.iter_raw():
                self._check_stopped()
                yield piece
        finally:
            with self._lock:
                self._open.discard(response)

    def _changed(self, part: HubFile, how: str) -> CorruptData:
        return CorruptData(
            f"{part.path} is not what the hub lists ({part.size:,} bytes, {part.digest}): {how}. It was changed or "
            "damaged on its way, and is not kept; the same command asks for it again"
        )

    def _count(self, number: int) -> None:
        with self._lock:
            self.received += number

    def _check_stopped(self) -> None:
        if self._stop.is_set():
            raise Stopped
