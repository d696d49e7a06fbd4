"""Storage on a real S3 server: the whole API, archives, and a network that fails."""

import hashlib
import io
import json
import os
import tarfile
import threading
import zipfile
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from s3_faults import FaultyProxy
from s3_server import S3Server, forget_file_systems, s3_server
from s3fs import S3FileSystem

from data_pipeline import storage
from data_pipeline.config import MediaConfig
from data_pipeline.errors import MissingInput, RecordError, RunError, Unavailable
from data_pipeline.media.reading import read_media
from data_pipeline.records.comparison import MediaRef
from data_pipeline.sources.readers.files import read_rows, split_rows
from data_pipeline.storage import remote

__all__ = ["s3_server"]

BIG = os.urandom(3_000_000)


@pytest.fixture
def base(s3_server: S3Server, request: pytest.FixtureRequest) -> str:
    return f"s3://{s3_server.bucket}/{request.node.name}"


@pytest.fixture
def proxy(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """A faulty way to the server, over which every request of the test goes, and no second tries but our own."""
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(S3FileSystem, "retries", 1)
    with FaultyProxy(s3_server.endpoint) as faulty:
        monkeypatch.setenv("AWS_ENDPOINT_URL", faulty.endpoint)
        monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
        forget_file_systems()
        yield faulty
    monkeypatch.undo()
    forget_file_systems()


def test_files_are_written_listed_and_read(base: str) -> None:
    url = storage.join(base, "deep", "a b+ü.bin")
    assert not storage.exists(url) and storage.list_files(base) == []
    storage.make_parent(url)
    storage.write_atomic(url, b"old")
    storage.write_atomic(url, BIG)
    assert storage.exists(url) and storage.exists(storage.join(base, "deep")) and not storage.is_local(url)
    assert storage.size_of(url) == len(BIG)
    assert storage.read_bytes(url) == BIG
    assert storage.sha256_of(url) == hashlib.sha256(BIG).hexdigest()
    with storage.open_input(url) as file:
        file.seek(-5, os.SEEK_END)
        assert file.read() == BIG[-5:]
        file.seek(1_000_000)
        assert file.read(70_000) == BIG[1_000_000:1_070_000]
    for name in ("b.jsonl", "a.jsonl", "sub/c.jsonl"):
        storage.write_atomic(storage.join(base, name), b"")
    assert storage.list_files(base) == [f"{base}/a.jsonl", f"{base}/b.jsonl"]
    assert storage.list_files(f"{base}/**/*.jsonl") == [f"{base}/{name}.jsonl" for name in ("a", "b", "sub/c")]
    assert storage.list_files(url) == [url]


@pytest.mark.parametrize("name", ["lr[1]", "what?", "all*"])
def test_marks_of_globs_are_letters_in_the_name_of_a_folder(base: str, name: str) -> None:
    url = storage.join(base, name, "step-1", "a.json")
    storage.write_atomic(url, b"")
    storage.write_atomic(storage.join(base, "all1", "step-1", "a.json"), b"")
    assert storage.list_files(storage.join(storage.escaped(storage.join(base, name)), "step-*", "a.json")) == [url]


def test_what_another_process_writes_is_seen(base: str) -> None:
    url = storage.join(base, "a.json")
    for text in (b"first", b"the second"):
        storage.write_atomic(url, text)
        assert storage.read_bytes(url) == text and storage.size_of(url) == len(text)


def test_a_folder_that_goes_while_it_is_listed_is_passed_over(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As checkpoints go that another process no longer keeps."""
    for step in (5, 10, 15):
        storage.write_atomic(f"{base}/step-{step}/COMPLETE", b"x")
    listed, own = S3FileSystem._ls, storage.name_of(base)

    async def ls(self: S3FileSystem, path: str, **options: Any) -> Any:
        found = await listed(self, path, **options)
        if path.endswith(own):
            await self._rm(f"{path}/step-5", recursive=True)
        return found

    monkeypatch.setattr(S3FileSystem, "_ls", ls)
    forget_file_systems()
    for name in ("COMPLETE", "C*"):
        storage.write_atomic(f"{base}/step-5/COMPLETE", b"x")
        assert storage.list_files(f"{base}/step-*/{name}") == [f"{base}/step-{step}/COMPLETE" for step in (10, 15)]


@pytest.mark.parametrize("pattern", ["step-*/COMPLETE", "step-*/*", "**/COMPLETE"], ids=["name", "glob", "deep"])
def test_a_store_that_fails_in_the_middle_of_a_listing_leaves_nothing_out(
    base: str, proxy: FaultyProxy, pattern: str
) -> None:
    folder = base.partition("[")[0]
    for step in (5, 10):
        storage.write_atomic(f"{folder}/step-{step}/COMPLETE", b"x")
    proxy.requests.clear()
    assert len(storage.list_files(f"{folder}/{pattern}")) == 2
    count = len(proxy.requests)
    assert count >= 3
    for answered in range(count):
        proxy.delay(answered, seconds=0)
        proxy.fail(1000)
        with pytest.raises(Unavailable, match="failed after 4 tries"):
            storage.list_files(f"{folder}/{pattern}")
        proxy.heal()


@pytest.mark.parametrize("act", [storage.read_bytes, storage.size_of, storage.sha256_of, storage.open_input])
def test_what_is_not_there_is_named(base: str, act: object) -> None:
    assert callable(act)
    for name in ("gone.jsonl", "gone.zip/a.jpg"):
        with pytest.raises(MissingInput, match="gone"):
            act(storage.join(base, name))


def test_archives_are_read_where_they_lie(base: str) -> None:
    files = {f"images/{i}.jpg": os.urandom(2000) + bytes(2000) for i in range(50)}
    packed, plain = io.BytesIO(), io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    for suffix, blob in (("zip", packed), ("tar", plain)):
        url = storage.join(base, f"x.{suffix}")
        storage.write_atomic(url, blob.getvalue())
        assert storage.is_archive(url) and len(storage.archive_digest(url)) == 64
        assert len(storage.list_files(f"{url}/images/*.jpg")) == 50
        for name, data in files.items():
            assert storage.read_bytes(f"{url}/{name}") == data
        with storage.open_input(f"{url}/images/7.jpg") as file:
            file.seek(1990)
            assert file.read(20) == files["images/7.jpg"][1990:2010]


def test_a_member_costs_one_request(base: str, proxy: FaultyProxy) -> None:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w", zipfile.ZIP_STORED) as archive:
        for i in range(20):
            archive.writestr(f"{i}.jpg", BIG[i * 100_000 : (i + 1) * 100_000])
    url = storage.join(base, "x.zip")
    storage.write_atomic(url, blob.getvalue())
    assert storage.size_of(f"{url}/3.jpg") == 100_000
    proxy.requests.clear()
    for i in range(20):
        assert storage.read_bytes(f"{url}/{i}.jpg") == BIG[i * 100_000 : (i + 1) * 100_000]
    assert len(proxy.requests) == 20
    assert sum(int(last) - int(first) for first, last in (r[2][6:].split("-") for r in proxy.requests)) < 2_020_000
    proxy.requests.clear()
    assert len(storage.read_bytes(url)) == len(blob.getvalue()) and len(proxy.requests) == 1


def test_records_are_read_by_range(base: str) -> None:
    records = [{"n": str(i), "text": "x" * 500} for i in range(1000)]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), table, row_group_size=300)
    lines = "".join(json.dumps(record) + "\n" for record in records)
    rows = "".join(f"{record['n']},{record['text']}\n" for record in records)
    for name, data in {
        "a.jsonl": lines.encode(),
        "a.json": json.dumps(records).encode(),
        "a.csv": f"n,text\n{rows}".encode(),
        "a.parquet": table.getvalue(),
    }.items():
        url = storage.join(base, name)
        storage.write_atomic(url, data)
        parts = split_rows(url, 400)
        assert [(part.start, part.count) for part in parts] == [(0, 400), (400, 400), (800, 200)]
        last = parts[-1]
        assert list(read_rows(url, last.start, last.count, last.offset)) == list(enumerate(records))[800:]


def test_passing_failures_are_tried_again(base: str, proxy: FaultyProxy) -> None:
    url = storage.join(base, "a.bin")
    for faults in (
        lambda: proxy.fail(2),
        lambda: proxy.fail(2, status=503),
        lambda: proxy.cut(2, after=1000),
        lambda: proxy.delay(2, seconds=0.3),
    ):
        proxy.fail(2, method="PUT")
        storage.write_atomic(url, BIG)
        faults()
        assert storage.read_bytes(url) == BIG
        faults()
        assert storage.sha256_of(url) == hashlib.sha256(BIG).hexdigest()
        faults()
        assert storage.size_of(url) == len(BIG)
        proxy.heal()
        assert storage.list_files(base) == [url]


def test_lasting_failures_end_with_the_url_and_the_cause(base: str, proxy: FaultyProxy) -> None:
    url = storage.join(base, "a.bin")
    storage.write_atomic(url, b"x" * 5000)
    proxy.fail(1000)
    for act in (storage.read_bytes, storage.size_of, storage.exists, storage.list_files, storage.sha256_of):
        with pytest.raises(RunError, match=r"a\.bin' failed after 4 tries: OSError"):
            act(url)
    with pytest.raises(RunError, match="failed after 4 tries"):
        storage.write_atomic(url, b"new")
    proxy.heal()
    assert storage.read_bytes(url) == b"x" * 5000
    proxy.cut(1000, after=100)
    with pytest.raises(RunError, match="failed after 4 tries: ClientPayloadError"):
        storage.read_bytes(url)


def test_a_server_that_is_gone_is_named(base: str, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    forget_file_systems()
    with pytest.raises(RunError, match="EndpointConnectionError|Could not connect"):
        storage.read_bytes(storage.join(base, "a.bin"))
    monkeypatch.undo()
    forget_file_systems()


def test_refused_keys_are_the_users_to_fix(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("AWS_SECRET_ACCESS_KEY", "wrong"), ("AWS_ACCESS_KEY_ID", "")):
        monkeypatch.setenv(name, value)
        forget_file_systems()
        with pytest.raises(MissingInput, match="check the keys"):
            storage.read_bytes(storage.join(base, "a.bin"))
    monkeypatch.undo()
    forget_file_systems()


def test_a_writer_that_is_cut_off_leaves_the_old_file(base: str, proxy: FaultyProxy) -> None:
    url = storage.join(base, "a.bin")
    storage.write_atomic(url, b"old")
    proxy.fail(1000, method="PUT")
    with pytest.raises(RunError):
        storage.write_atomic(url, BIG)
    assert storage.read_bytes(url) == b"old" and storage.list_files(base) == [url]


def test_threads_and_forked_processes_read_at_once(base: str) -> None:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as archive:
        for i in range(30):
            archive.writestr(f"{i}.txt", str(i) * 1000)
    url = storage.join(base, "x.zip")
    storage.write_atomic(url, blob.getvalue())
    failures = []

    def read(numbers: range) -> None:
        for i in numbers:
            if storage.read_bytes(f"{url}/{i}.txt") != (str(i) * 1000).encode():
                failures.append(i)

    threads = [threading.Thread(target=read, args=(range(i, 30, 4),)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if (child := os.fork()) == 0:
        code = 1
        try:
            read(range(30))
            code = len(failures)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0 and failures == []


@pytest.fixture
def patient() -> Iterator[list[str]]:
    """A process that waits for stores; what it says meanwhile."""
    said: list[str] = []
    storage.wait_for_stores(30, said.append)
    yield said
    storage.wait_for_stores(0, said.append)


def test_a_store_that_fails_while_it_is_read_is_waited_for(
    base: str, proxy: FaultyProxy, patient: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For far more tries than a single call has; whatever is asked of it."""
    monkeypatch.setattr(remote, "_LONGEST_PAUSE_S", 0.05)
    url = storage.join(base, "a.bin")
    storage.write_atomic(url, BIG)
    reads = {
        "bytes": lambda: storage.read_bytes(url),
        "size": lambda: storage.size_of(url),
        "sha256": lambda: storage.sha256_of(url),
        "list": lambda: storage.list_files(base),
    }
    for read in reads.values():
        undisturbed = read()
        proxy.fail(3 * remote.ATTEMPTS)
        assert read() == undisturbed
    assert url in patient[0] and "trying again for up to 30 s" in patient[0]
    storage.wait_for_stores(0.05, patient.append)
    proxy.fail(1000)
    with pytest.raises(Unavailable, match=r"a\.bin' failed after \d+ tries"):
        storage.read_bytes(url)


def test_writers_have_retries_of_their_own(base: str, proxy: FaultyProxy, patient: list[str]) -> None:
    proxy.fail(remote.ATTEMPTS, method="PUT")
    with pytest.raises(Unavailable, match="failed after 4 tries"):
        storage.write_atomic(storage.join(base, "a.bin"), b"new")
    assert patient == []


@pytest.mark.parametrize("status", [401, 403, 500, 503])
def test_an_image_that_the_store_does_not_give_refuses_no_record(base: str, proxy: FaultyProxy, status: int) -> None:
    storage.write_atomic(storage.join(base, "images/a.png"), b"bytes")
    proxy.fail(1000, status=status)
    with pytest.raises(Unavailable, match=r"images/a\.png"):
        read_media(MediaRef(path="images/a.png"), base, MediaConfig())
    with pytest.raises(RecordError, match="unavailable_media"):
        read_media(MediaRef(path="images/a.png"), base, MediaConfig(unavailable="refuse"))
    proxy.heal()
    assert read_media(MediaRef(path="images/a.png"), base, MediaConfig()) == b"bytes"
    with pytest.raises(RecordError, match="missing_media"):
        read_media(MediaRef(path="images/b.png"), base, MediaConfig())


def test_marks_change_with_the_bytes_however_many_files_there_are(base: str) -> None:
    urls = [storage.join(base, f"{number}.bin") for number in range(40)]
    for url in urls[:-1]:
        storage.write_atomic(url, b"one")
    few, many = storage.marks_of([urls[0], urls[-1]]), storage.marks_of(urls)
    assert few == {urls[0]: many[urls[0]], urls[-1]: ""} and many[urls[-1]] == ""
    storage.write_atomic(urls[0], b"two")
    now = storage.marks_of(urls)
    assert [url for url in urls if now[url] != many[url]] == [urls[0]]
