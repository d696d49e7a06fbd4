"""A small imitation of the hub's data sets: listings, files by ranges, downloads from another host, and faults.

hub = DataHub({"org/birds": {"pairs.jsonl": b"..."}})
with hub.serving() as address: ...      # fetch.address=ADDRESS
"""

import hashlib
import json
import threading
import time
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler
from typing import NamedTuple

from loopback import serving

LARGE = 1000
"""Files of so many bytes are large ones (LFS): by sha256, and had from the other host."""


class Sent(NamedTuple):
    """Bytes of one answer to a download."""

    path: str
    start: int
    count: int


class DataHub:
    """What the hub holds, what it was asked, and what it does wrong.

    Attributes:
        faults: path of a file -> what befalls its next downloads: ``cut:N`` (the connection ends after N bytes),
            ``stall:N`` (no more bytes come after N, until `released`), ``whole`` (no ranges), ``429:SECONDS``, or
            another status.
        listing_faults: data set -> statuses of its next listings.
        swapped: path -> other bytes of the same length, which come from now on.
        sizes: ``ORG/NAME/PATH`` -> bytes that listings say, in place of those of the file.
        slow_s: seconds that each download takes at least.
        most_at_once: downloads that were under way together.
    """

    def __init__(
        self,
        sets: Mapping[str, Mapping[str, bytes]],
        *,
        licences: Mapping[str, str] | None = None,
        revisions: Mapping[str, str] | None = None,
    ) -> None:
        commits = {name: (revisions or {}).get(name, commit_of(name)) for name in sets}
        self.sets = {name: {commits[name]: dict(files)} for name, files in sets.items()}
        self.newest = commits
        self.licences = licences or {}
        self.faults: dict[str, list[str]] = {}
        self.listing_faults: dict[str, list[int]] = {}
        self.swapped: dict[str, bytes] = {}
        self.sizes: dict[str, int] = {}
        self.sent: list[Sent] = []
        self.tokens: list[tuple[str, str]] = []
        self.released = threading.Event()
        self.slow_s = 0.0
        self.most_at_once = 0
        self._lock, self._at_once = threading.Lock(), 0
        self.cdn = ""

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Yields the hub's address; large files come from another one."""
        with serving(partial(_Answer, self, "cdn")) as self.cdn, serving(partial(_Answer, self, "hub")) as address:
            yield address
            self.released.set()

    @contextmanager
    def counted(self) -> Iterator[None]:
        """A download is under way."""
        with self._lock:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        time.sleep(self.slow_s)
        try:
            yield
        finally:
            with self._lock:
                self._at_once -= 1

    def commit(self, name: str, files: Mapping[str, bytes]) -> str:
        """Another commit, the newest from now on."""
        commit = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.sets[name][commit] = dict(files)
        self.newest[name] = commit
        return commit

    def bytes_of(self, path: str) -> int:
        """How many bytes of a file were sent, over all answers."""
        return sum(one.count for one in self.sent if one.path == path)


def commit_of(name: str) -> str:
    return hashlib.sha1(name.encode()).hexdigest()


def listed(path: str, data: bytes, size: int | None = None) -> dict[str, object]:
    """One file as the hub lists it."""
    count = len(data) if size is None else size
    blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    entry: dict[str, object] = {"type": "file", "path": path, "size": count, "oid": blob}
    if count >= LARGE:
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": count, "pointerSize": 130}
    return entry


class _Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, hub: DataHub, role: str, *args: object) -> None:
        self.hub, self.role = hub, role
        super().__init__(*args)  # type: ignore[arg-type]

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        address = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        self.hub.tokens.append((self.role, self.headers.get("Authorization", "")))
        parts = address.strip("/").split("/")
        if self.role == "cdn":
            self._file("/".join(parts[1:3]), parts[3], "/".join(parts[4:]))
        elif parts[:2] == ["api", "datasets"]:
            what, revision = parts[4:6] if len(parts) > 4 else ("revision", "main")
            self._listing("/".join(parts[2:4]), what, revision)
        else:
            self._resolve("/".join(parts[1:3]), parts[4], "/".join(parts[5:]))

    def _listing(self, name: str, what: str, revision: str) -> None:
        if faults := self.hub.listing_faults.get(name):
            self._answer(faults.pop(0), b"{}", {"Retry-After": "0"})
            return
        commits = self.hub.sets.get(name, {})
        commit = self.hub.newest.get(name, "") if revision == "main" else revision
        if commit not in commits:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound" if not commits else "RevisionNotFound"})
        elif what == "revision":
            tags = [f"license:{self.hub.licences[name]}"] if name in self.hub.licences else []
            found = {"id": name, "sha": commit, "private": False, "gated": False, "tags": tags, "siblings": []}
            self._answer(200, json.dumps(found).encode())
        else:
            files = [listed(path, data, self.hub.sizes.get(f"{name}/{path}")) for path, data in commits[commit].items()]
            folders = sorted({path.rpartition("/")[0] for path in commits[commit] if "/" in path})
            tree = [{"type": "directory", "path": path, "oid": "0" * 40, "size": 0} for path in folders]
            self._answer(200, json.dumps(tree + files).encode())

    def _resolve(self, name: str, commit: str, path: str) -> None:
        if len(self.hub.sets[name][commit].get(path, b"")) >= LARGE:
            self._answer(302, b"", {"Location": f"{self.hub.cdn}/datasets/{name}/{commit}/{path}"})
        else:
            self._file(name, commit, path)

    def _file(self, name: str, commit: str, path: str) -> None:
        data = self.hub.swapped.get(path, self.hub.sets[name][commit].get(path))
        fault = self.hub.faults[path].pop(0) if self.hub.faults.get(path) else ""
        kind, _, value = fault.partition(":")
        if kind.isdigit():
            self._answer(int(kind), b"{}", {"Retry-After": value} if value else {})
            return
        if data is None:
            self._answer(404, b"{}")
            return
        asked = self.headers.get("Range")
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and kind != "whole" else 0
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        rest = data[start:]
        count = min(len(rest), int(value)) if kind in ("cut", "stall") else len(rest)
        self.hub.sent.append(Sent(path, start, count))
        with self.hub.counted():
            self._answer(206 if start else 200, rest[:count], headers, length=len(rest))
        if kind == "stall":
            self.wfile.flush()
            self.hub.released.wait(60)
        if kind in ("cut", "stall"):
            self.close_connection = True

    def _answer(
        self, status: int, data: bytes, headers: Mapping[str, str] | None = None, length: int | None = None
    ) -> None:
        self.send_response_only(status)
        for name, value in {"Content-Length": str(len(data) if length is None else length), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
