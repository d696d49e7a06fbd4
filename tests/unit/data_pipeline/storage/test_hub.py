"""hf:// paths: only pinned commits, read through a small server that answers like the hub."""

import hashlib
import io
import json
import os
import subprocess
import sys
import urllib.parse
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from loopback import serving

from data_pipeline import storage
from data_pipeline.errors import RecipeError

REVISION = "0123456789abcdef0123456789abcdef01234567"
ROOT = Path(__file__).parents[4]


def picture_archive() -> bytes:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/b.jpg", b"jpeg" * 1000)
    return blob.getvalue()


FILES = {
    "pairs.jsonl": b'{"n": 0}\n{"n": 1}\n',
    "data/one.jsonl": b"{}\n",
    "data/two.jsonl": b"{}\n",
    "images.zip": picture_archive(),
}


class Hub(BaseHTTPRequestHandler):
    """The parts of the hub's interface that reading a pinned data set needs."""

    protocol_version = "HTTP/1.1"
    num_failures = 0

    def do_GET(self) -> None:
        path = urllib.parse.unquote(urllib.parse.urlsplit(self.path).path)
        repo = "datasets/org/pairs"
        if type(self).num_failures and "/resolve/" in path:
            type(self).num_failures -= 1
            self._answer(500, b"told to fail")
        elif path == f"/api/{repo}/revision/{REVISION}":
            self._json(
                {"id": "org/pairs", "sha": REVISION, "siblings": [], "private": False, "tags": [], "gated": False}
            )
        elif path.startswith(f"/api/{repo}/tree/{REVISION}"):
            self._json(self._tree(path.removeprefix(f"/api/{repo}/tree/{REVISION}").strip("/")))
        elif path.startswith(f"/{repo}/resolve/{REVISION}/"):
            self._file(FILES[path.removeprefix(f"/{repo}/resolve/{REVISION}/")])
        else:
            self._answer(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def _tree(self, folder: str) -> list[dict[str, object]]:
        found: dict[str, dict[str, object]] = {}
        recursive = "recursive=true" in self.path.lower()
        for path, data in FILES.items():
            if folder and not path.startswith(f"{folder}/"):
                continue
            inside = path[len(folder) + 1 :] if folder else path
            if "/" in inside:
                top = path[: len(path) - len(inside)] + inside.split("/")[0]
                found[top] = {"type": "directory", "path": top, "oid": "0" * 40}
            if "/" not in inside or recursive:
                oid = hashlib.sha1(data).hexdigest()
                found[path] = {"type": "file", "path": path, "size": len(data), "oid": oid}
        return list(found.values())

    def _file(self, data: bytes) -> None:
        if byte_range := self.headers.get("Range"):
            first, last = byte_range.removeprefix("bytes=").split("-")
            self._answer(206, data[int(first) : int(last) + 1])
        else:
            self._answer(200, data)

    def _json(self, value: object) -> None:
        self._answer(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _answer(self, status: int, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_HEAD = do_GET  # noqa: N815


@pytest.fixture
def hub() -> Iterator[str]:
    with serving(Hub) as url:
        yield url


SCRIPT = """
import json, sys
from data_pipeline import storage
from data_pipeline.errors import BaserewardError
from data_pipeline.sources.readers.files import read_rows, split_rows
base = sys.argv[1]
last = split_rows(f"{base}/pairs.jsonl", 1)[-1]
def kind(act, url):
    try:
        return act(url)
    except BaserewardError as error:
        return f"{type(error).__name__}: {error}"
print(json.dumps({
    "exists": [storage.exists(f"{base}/{name}") for name in ("pairs.jsonl", "data", "gone", "images.zip/a/b.jpg")],
    "size": storage.size_of(f"{base}/pairs.jsonl"),
    "data": storage.read_bytes(f"{base}/pairs.jsonl").decode(),
    "sha256": storage.sha256_of(f"{base}/images.zip"),
    "listed": storage.list_files(f"{base}/data"),
    "globbed": storage.list_files(f"{base}/**/*.jsonl"),
    "members": storage.list_files(f"{base}/images.zip/**"),
    "member": storage.size_of(f"{base}/images.zip/a/b.jpg"),
    "picture": len(storage.read_bytes(f"{base}/images.zip/a/b.jpg")),
    "rows": list(read_rows(f"{base}/pairs.jsonl", last.start, last.count, last.offset)),
    "gone": kind(storage.read_bytes, f"{base}/gone.jsonl"),
    "gone repository": kind(storage.read_bytes, f"{base.replace('org/', 'other/')}/pairs.jsonl"),
    "written": kind(lambda url: storage.write_atomic(url, b""), f"{base}/new"),
}))
"""


def ask(endpoint: str, tmp_path: Path, base: str) -> dict[str, object]:
    """What the script prints in a process of its own: the hub's address is read when its client is imported."""
    environment = {
        **os.environ,
        "HF_ENDPOINT": endpoint,
        "HF_HOME": str(tmp_path),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, base], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert isinstance(answer, dict)
    return answer


def test_a_pinned_data_set_is_read_like_files(hub: str, tmp_path: Path) -> None:
    base = f"hf://datasets/org/pairs@{REVISION}"
    Hub.num_failures = 1
    answer = ask(hub, tmp_path, base)
    assert Hub.num_failures == 0  # one answer was an error, and was asked for again
    assert answer["exists"] == [True, True, False, True]
    assert answer["size"] == len(FILES["pairs.jsonl"])
    assert answer["data"] == FILES["pairs.jsonl"].decode()
    assert answer["sha256"] == hashlib.sha256(FILES["images.zip"]).hexdigest()
    assert answer["listed"] == [f"{base}/data/one.jsonl", f"{base}/data/two.jsonl"]
    assert answer["globbed"] == [f"{base}/{name}" for name in ("data/one.jsonl", "data/two.jsonl", "pairs.jsonl")]
    assert answer["members"] == [f"{base}/images.zip/a/b.jpg"]
    assert answer["member"] == answer["picture"] == 4000
    assert answer["rows"] == [[1, {"n": 1}]]
    assert str(answer["gone"]).startswith("MissingInput: no file 'hf://datasets/org/pairs@0123")
    assert str(answer["gone repository"]).startswith("MissingInput")
    assert str(answer["written"]).startswith("RecipeError: cannot write")


@pytest.mark.parametrize(
    "url",
    [
        "hf://datasets/org/pairs/a.jsonl",
        "hf://datasets/org/pairs@main/a.jsonl",
        "hf://datasets/org/pairs@0123456/a.jsonl",
        f"hf://datasets/org/pairs@{REVISION}0/a.jsonl",
        f"hf://datasets/org/pairs@refs%2F{REVISION}/a.jsonl",
        f"hf://datasets/pairs/@{REVISION}/a.jsonl",
        f"hf://buckets/org/pairs/{REVISION}/a.jsonl",
    ],
)
def test_a_path_without_a_commit_is_refused(url: str) -> None:
    for act in (storage.read_bytes, storage.size_of, storage.exists, storage.list_files, storage.open_input):
        with pytest.raises(RecipeError, match="40 hex digits"):
            act(url)
