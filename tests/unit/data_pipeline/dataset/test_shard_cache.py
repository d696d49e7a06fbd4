"""The cache of remote shards: verified copies, a limit that holds, many threads and processes on one folder."""

import fcntl
import hashlib
import logging
import os
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random

import pyarrow as pa
import pytest

from data_pipeline import storage
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage import ShardCache, cache_folder
from data_pipeline.storage.cache import CACHE_ENV

Shard = tuple[str, int, str]


@pytest.fixture
def shards(tmp_path: Path) -> list[Shard]:
    """Eight remote files of 100,000 bytes: (url, size, sha256)."""
    made = []
    for i in range(8):
        data = Random(i).randbytes(100_000)
        url = f"memory:///{tmp_path.name}/{i}.arrow"
        storage.write_atomic(url, data)
        made.append((url, len(data), hashlib.sha256(data).hexdigest()))
    return made


def copies(folder: Path) -> set[str]:
    return {entry.name for entry in folder.iterdir() if entry.is_file()}


def data_of(path: str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def test_a_copy_is_made_once(tmp_path: Path, shards: list[Shard]) -> None:
    cache = ShardCache(str(tmp_path / "c"), 1_000_000)
    url, size, sha256 = shards[0]
    path = cache.path(url, size, sha256)
    assert data_of(path) == sha256
    storage.write_atomic(url, b"the remote file is not looked at again")
    assert cache.path(url, size, sha256) == path
    assert ShardCache(str(tmp_path / "c"), 1_000_000).path(url, size, sha256) == path
    assert pickle.loads(pickle.dumps(cache)).path(url, size, sha256) == path
    with cache.open(url, size, sha256) as file:
        assert hashlib.sha256(file.read()).hexdigest() == sha256


def test_the_copy_used_longest_ago_goes(tmp_path: Path, shards: list[Shard]) -> None:
    cache = ShardCache(str(tmp_path / "c"), 350_000)
    for i in (0, 1, 2, 0, 3):
        cache.path(*shards[i])
    assert copies(tmp_path / "c") == {shards[i][2] for i in (2, 0, 3)}
    ShardCache(str(tmp_path / "c"), 250_000).path(*shards[4])
    assert copies(tmp_path / "c") == {shards[i][2] for i in (3, 4)}


def test_a_mapped_copy_survives_its_deletion(tmp_path: Path, shards: list[Shard]) -> None:
    cache = ShardCache(str(tmp_path / "c"), 100_000)
    with pa.memory_map(cache.path(*shards[0])) as mapped:
        cache.path(*shards[1])
        assert copies(tmp_path / "c") == {shards[1][2]}
        assert hashlib.sha256(mapped.read()).hexdigest() == shards[0][2]


def test_a_file_above_the_limit_is_refused(tmp_path: Path, shards: list[Shard]) -> None:
    cache = ShardCache(str(tmp_path / "c"), 99_999)
    with pytest.raises(RecipeError, match="100,000 bytes, more than the cache's limit of 99,999"):
        cache.path(*shards[0])


@pytest.mark.parametrize("damage", [b"short", bytes(100_000)])
def test_a_damaged_copy_is_downloaded_again(tmp_path: Path, shards: list[Shard], damage: bytes) -> None:
    cache = ShardCache(str(tmp_path / "c"), 150_000)
    path = cache.path(*shards[0])
    for one in (cache, ShardCache(str(tmp_path / "c"), 150_000)):
        Path(path).write_bytes(damage)
        assert data_of(one.path(*shards[0])) == shards[0][2]


def test_wrong_remote_bytes_are_an_error_and_leave_nothing(tmp_path: Path, shards: list[Shard]) -> None:
    cache = ShardCache(str(tmp_path / "c"), 1_000_000)
    url, size, sha256 = shards[0]
    for data in (b"x" * size, b"x" * (size + 5_000_000), b"", b"x"):
        storage.write_atomic(url, data)
        with pytest.raises(CorruptData, match="but its manifest says 100,000"):
            cache.path(url, size, sha256)
    with pytest.raises(MissingInput, match="gone"):
        cache.path("memory:///gone", size, sha256)
    assert copies(tmp_path / "c") == set()


def test_an_abandoned_download_makes_room(tmp_path: Path, shards: list[Shard]) -> None:
    cache = ShardCache(str(tmp_path / "c"), 150_000)
    (tmp_path / "c" / f".{shards[1][2]}.0123.part").write_bytes(bytes(100_000))
    cache.path(*shards[0])
    assert copies(tmp_path / "c") == {shards[0][2]}


def test_prefetched_copies_are_there(
    tmp_path: Path, shards: list[Shard], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = ShardCache(str(tmp_path / "c"), 1_000_000)
    for shard in shards[:3] * 5:
        cache.prefetch(*shard)
    paths = [cache.path(*shard) for shard in shards[:3]]  # waits for downloads under way
    assert [data_of(path) for path in paths] == [shard[2] for shard in shards[:3]]
    with caplog.at_level(logging.WARNING):
        cache.prefetch("memory:///gone", 5, "0" * 64)
        while not caplog.records:
            time.sleep(0.01)
    assert "cannot prefetch memory:///gone" in caplog.text
    cache.close()
    cache.prefetch(*shards[4])
    cache.close()
    assert copies(tmp_path / "c") >= {shard[2] for shard in shards[:3]}


def use_all(folder: str, shards: list[Shard], seed: int) -> int:
    """Open shards in random order; the number of wrong ones."""
    cache = ShardCache(folder, 250_000)
    bad = 0
    for shard in Random(seed).choices(shards, k=40):
        with cache.open(*shard) as file:
            bad += hashlib.sha256(file.read()).hexdigest() != shard[2]
    return bad


def test_processes_and_threads_share_a_folder_that_never_exceeds_the_limit(tmp_path: Path, shards: list[Shard]) -> None:
    folder = tmp_path / "c"
    ShardCache(str(folder), 250_000)
    children = []
    for seed in range(3):
        if (child := os.fork()) == 0:
            code = 1
            try:
                code = min(use_all(str(folder), shards, seed), 100)
            finally:
                os._exit(code)
        children.append(child)
    most, is_done = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_done.is_set():
            with open(folder / "locks" / "folder", "wb") as lock:  # else a listing is no snapshot
                fcntl.flock(lock, fcntl.LOCK_EX)
                entries = [entry for entry in folder.iterdir() if entry.is_file()]
                total = sum(entry.stat().st_size for entry in entries)
            most = max(most, total)
            time.sleep(0.002)

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(2) as pool:
        bad = list(pool.map(lambda seed: use_all(str(folder), shards, seed), (7, 8)))
    codes = [os.waitpid(child, 0)[1] for child in children]
    is_done.set()
    watcher.join()
    assert bad == [0, 0] and codes == [0, 0, 0]
    assert 100_000 <= most <= 250_000
    assert not [name for name in copies(folder) if name.endswith(".part")]


def test_copies_lie_on_a_disk_of_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.delenv(CACHE_ENV, raising=False)
    assert cache_folder("runs/mine/cache") == "runs/mine/cache"
    mine = cache_folder("s3://bucket/run/cache")  # where the whole run is in a bucket
    assert Path(mine).parent == tmp_path
    monkeypatch.setenv(CACHE_ENV, str(tmp_path / "no-such-disk"))
    assert cache_folder("s3://bucket/run/cache") == mine
    (tmp_path / "disk").mkdir()
    monkeypatch.setenv(CACHE_ENV, f"{tmp_path}/no-such-disk:{tmp_path}/disk")
    assert cache_folder("s3://bucket/run/cache") == str(tmp_path / "disk")
    assert cache_folder("runs/mine/cache") == "runs/mine/cache"  # what a recipe says counts
