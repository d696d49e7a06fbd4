"""Local paths and remote addresses behave alike; fsspec's own memory file system stands for s3."""

import errno
import hashlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from data_pipeline import storage
from data_pipeline.errors import MissingInput, RecipeError, RunError
from data_pipeline.storage import remote
from data_pipeline.storage.ranges import RangeReader


@pytest.fixture(params=["local", "memory"])
def base(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return str(tmp_path) if request.param == "local" else f"memory:///{tmp_path.name}"


def test_what_is_written_is_read(base: str) -> None:
    url = storage.join(base, "deep", "a.bin")
    assert not storage.exists(url)
    storage.write_atomic(url, b"old")
    storage.write_atomic(url, b"bytes")
    assert storage.exists(url)
    assert storage.read_bytes(url) == b"bytes"
    assert storage.size_of(url) == 5
    assert storage.sha256_of(url) == hashlib.sha256(b"bytes").hexdigest()
    with storage.open_input(url) as file:
        assert file.read(2) == b"by"


def test_files_are_listed_in_order(base: str) -> None:
    for name in ("b.jsonl", "a.jsonl", "c.txt", "sub/d.jsonl"):
        storage.write_atomic(storage.join(base, name), b"")
    names = [storage.name_of(url) for url in storage.list_files(storage.join(base, "*.jsonl"))]
    assert names == ["a.jsonl", "b.jsonl"]
    assert [storage.name_of(url) for url in storage.list_files(base)] == ["a.jsonl", "b.jsonl", "c.txt"]
    assert [storage.name_of(url) for url in storage.list_files(storage.join(base, "**", "d.jsonl"))] == ["d.jsonl"]
    assert len(storage.list_files(storage.join(base, "a.jsonl"))) == 1
    assert storage.list_files(storage.join(base, "none*")) == []
    assert all(storage.exists(url) for url in storage.list_files(base))


def test_a_file_with_glob_letters_stands_for_itself(tmp_path: Path) -> None:
    odd = tmp_path / "a[1].jsonl"
    odd.write_bytes(b"")
    assert storage.list_files(str(odd)) == [str(odd)]


def test_relative_paths_stay_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    storage.write_atomic("a.jsonl", b"{}")
    assert storage.list_files("*.jsonl") == ["a.jsonl"]
    assert storage.read_bytes("a.jsonl") == b"{}"


@pytest.mark.parametrize("act", [storage.read_bytes, storage.size_of, storage.sha256_of, storage.open_input])
def test_a_missing_file_is_named(base: str, act: object) -> None:
    assert callable(act)
    with pytest.raises(MissingInput, match=r"nowhere\.jsonl"):
        act(storage.join(base, "nowhere.jsonl"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match=tmp_path.name):
        storage.read_bytes(str(tmp_path))


def test_an_unknown_scheme_is_refused_with_the_cure() -> None:
    with pytest.raises(MissingInput, match="s3://bucket/key"):
        storage.read_bytes("nosuch://bucket/a")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    url = str(tmp_path / "a.bin")
    storage.write_atomic(url, b"old")
    with pytest.raises(TypeError):
        storage.write_atomic(url, "text is not bytes")  # type: ignore[arg-type]
    assert storage.read_bytes(url) == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_paths_join_and_come_apart() -> None:
    assert storage.join("s3://bucket/data", "x", "a.jsonl") == "s3://bucket/data/x/a.jsonl"
    assert storage.join("data", "s3://bucket/a.jsonl") == "s3://bucket/a.jsonl"
    assert storage.join("data", "/abs/a.jsonl") == "/abs/a.jsonl"
    assert storage.parent_of("data/a.jsonl") == "data"
    assert storage.parent_of("a.jsonl") == "."
    assert storage.is_local("data/a") and not storage.is_local("s3://bucket/a")


@pytest.mark.parametrize("url", ["https://example.org/a.jsonl", "http://example.org/a", "simplecache::s3://bucket/a"])
def test_web_addresses_and_chains_are_no_files(url: str) -> None:
    for act in (storage.read_bytes, storage.exists, storage.open_input, storage.list_files):
        with pytest.raises(RecipeError, match="no place for files"):
            act(url)


def check_that_a_full_disk_is_said(url: str, wanted: str) -> None:
    storage.write_atomic(url, b"old")
    with pytest.raises(RunError, match=rf"a\.bin': No space left on device; {wanted} bytes wanted, .* free; make room"):
        storage.write_atomic(url, bytes(3_000_000))
    assert storage.read_bytes(url) == b"old"
    assert [path.name for path in Path(storage.parent_of(url)).iterdir()] == ["a.bin"]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        if os.fstat(descriptor).st_size > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    check_that_a_full_disk_is_said(str(tmp_path / "a.bin"), "3,000,000")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip(f"mounting a small disk needs root: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_really_full_disk_is_said(small_disk: Path) -> None:
    check_that_a_full_disk_is_said(str(small_disk / "a.bin"), "3,000,000")
    cache = storage.ShardCache(str(small_disk / "cache"), 10_000_000)
    data = bytes(2_000_000)
    storage.write_atomic("memory:///full/shard", data)
    with pytest.raises(RunError, match="No space left on device; 2,000,000 bytes wanted"):
        cache.path("memory:///full/shard", len(data), hashlib.sha256(data).hexdigest())
    assert [path.name for path in (small_disk / "cache").iterdir()] == ["locks"]


class Flaky(MemoryFileSystem):
    """A remote store that fails as often as `failures` says, each time with the next error."""

    protocol = "flaky"
    failures: ClassVar[list[BaseException]] = []

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: object) -> bytes:
        if self.failures:
            raise self.failures.pop(0)
        return b"whole"[start:end]


@pytest.fixture
def flaky(monkeypatch: pytest.MonkeyPatch) -> type[Flaky]:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(remote, "SCHEMES", remote.SCHEMES | {"flaky"})
    Flaky.failures = []
    return Flaky


def test_what_may_pass_is_tried_again(flaky: type[Flaky]) -> None:
    flaky.failures = [OSError(errno.EBUSY, "slow down"), TimeoutError("late"), ConnectionResetError("gone")]
    assert storage.read_bytes("flaky://a") == b"whole"
    flaky.failures = [ConnectionResetError(f"try {i}") for i in range(1, 9)]
    with pytest.raises(RunError, match="'flaky://a' failed after 4 tries: ConnectionResetError: try 4"):
        storage.read_bytes("flaky://a")


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (FileNotFoundError("gone"), MissingInput),
        (IsADirectoryError("a folder"), MissingInput),
        (PermissionError("not yours"), MissingInput),
        (OSError(errno.ENOSPC, "full"), RunError),
        (OSError(errno.EINVAL, "odd"), RunError),
        (ZeroDivisionError("our own mistake"), ZeroDivisionError),
    ],
)
def test_what_will_not_pass_is_not_tried_again(
    flaky: type[Flaky], error: BaseException, raised: type[BaseException]
) -> None:
    flaky.failures = [error, error]
    with pytest.raises(raised):
        storage.read_bytes("flaky://a")
    assert len(flaky.failures) == 1


class Counted:
    """A remote source that notes the ranges it is asked for."""

    name, size, is_remote = "counted", 40_000_000, True

    def __init__(self) -> None:
        self.asked: list[tuple[int, int]] = []

    def read_at(self, offset: int, count: int) -> bytes:
        self.asked.append((offset, count))
        return bytes(min(count, self.size - offset))


def test_a_long_pass_reads_ahead_and_a_jump_does_not() -> None:
    source = Counted()
    reader = RangeReader(source)
    total = 0
    while data := reader.read(65_536):
        total += len(data)
    assert total == source.size
    assert len(source.asked) < 15 and max(count for _, count in source.asked) <= 8 << 20
    source.asked.clear()
    for place in (30_000_000, 7, 20_000_000):
        reader.seek(place)
        assert len(reader.read(100) or b"") == 100
    assert source.asked == [(30_000_000, 100), (7, 100), (20_000_000, 100)]


def test_many_small_files_are_read_in_their_order(base: str) -> None:
    urls = [storage.join(base, f"{number}.txt") for number in range(40)]
    for number, url in enumerate(urls):
        storage.write_atomic(url, b"x" * number)
    assert storage.read_each(storage.size_of, urls) == list(range(40))
    with pytest.raises(MissingInput, match="gone"):
        storage.read_each(storage.size_of, [*urls, storage.join(base, "gone.txt")])


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1/a", "webhdfs://127.0.0.1:9702/a", "ssh://host/a", "dbfs://x/a", "x://a"]
)
def test_other_file_systems_are_not_asked(url: str) -> None:
    for action in (storage.read_bytes, storage.list_files, storage.exists):
        with pytest.raises(MissingInput, match="is no store that is read"):
            action(url)
