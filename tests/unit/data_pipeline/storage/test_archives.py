"""Paths into zip and tar archives: the whole storage API, hostile archives, threads, forks and changed files."""

import gzip
import hashlib
import io
import os
import stat
import struct
import tarfile
import threading
import tracemalloc
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data_pipeline import storage
from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage.archives import open_archive

FILES = {"top.jsonl": b'{"n": 0}\n', "a/b.jpg": b"jpeg" * 50_000, "a/c d[1].txt": b"", "a/deep/e.jsonl": b"{}\n" * 9}


def write_zip(path: Path, files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        archive.mkdir("a")
        for name, data in files.items():
            archive.writestr(name, data)


def write_tar(path: Path, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(f"./{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


@pytest.fixture(params=["x.zip", "stored.ZIP", "x.tar", "x.tar.gz", "x.tgz", "memory:///x.zip", "memory:///x.tar"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    path = tmp_path / storage.name_of(request.param)
    if path.suffix.lower() == ".zip":
        write_zip(path, FILES, zipfile.ZIP_STORED if path.suffix == ".ZIP" else zipfile.ZIP_DEFLATED)
    else:
        write_tar(path, FILES)
    if not request.param.startswith("memory"):
        return str(path)
    url = f"memory:///{tmp_path.name}/{path.name}"
    storage.write_atomic(url, path.read_bytes())
    return url


def test_files_in_an_archive_are_files(archive: str) -> None:
    for name, data in FILES.items():
        url = storage.join(archive, name)
        assert storage.exists(url) and not storage.is_local(url)
        assert storage.size_of(url) == len(data)
        assert storage.sha256_of(url) == hashlib.sha256(data).hexdigest()
        with storage.open_input(url) as file:
            assert file.read() == data
            file.seek(len(data) // 2)
            assert file.read(5) == data[len(data) // 2 :][:5]
            assert file.seek(0, os.SEEK_END) == len(data)
            file.seek(0)
            assert file.read(3) == data[:3]
        with storage.open_seekable(url) as file:
            file.seek(-2, os.SEEK_END) if data else None
            assert file.read() == data[-2:]
        if archive.endswith("gz"):
            with pytest.raises(RecipeError, match="unpack it, or pack it again"):
                storage.read_bytes(url)
        else:
            assert storage.read_bytes(url) == data
    assert storage.read_bytes(archive)  # the archive itself is a file too


def test_archives_are_known_by_their_files(archive: str, tmp_path: Path) -> None:
    assert storage.is_archive(archive)
    assert not storage.is_archive(storage.join(archive, "top.jsonl"))
    assert not storage.is_archive(str(tmp_path / "gone.zip"))
    assert [storage.archive_of(url) for url in (archive, f"{archive}/a", str(tmp_path))] == [archive, archive, None]
    assert storage.list_files(archive) == [archive]
    digest = storage.archive_digest(archive)
    assert digest == storage.archive_digest(archive) and len(digest) == 64


def test_members_are_listed_like_files(archive: str) -> None:
    def listed(pattern: str) -> list[str]:
        return [url.removeprefix(f"{archive}/") for url in storage.list_files(storage.join(archive, pattern))]

    assert listed("top.jsonl") == ["top.jsonl"]
    assert listed("a") == listed("a/*") == listed("./a//") == ["a/b.jpg", "a/c d[1].txt"]
    assert listed("*") == ["top.jsonl"]
    assert listed("**/*.jsonl") == ["a/deep/e.jsonl", "top.jsonl"]
    assert listed("a/**") == ["a/b.jpg", "a/c d[1].txt", "a/deep/e.jsonl"]
    assert listed("a/c d[1].txt") == ["a/c d[1].txt"]
    assert listed("none/*") == []
    assert storage.exists(storage.join(archive, "a/deep")) and not storage.exists(storage.join(archive, "a/dee"))


def test_what_is_not_in_an_archive_is_named(archive: str) -> None:
    for name in ("gone.jpg", "a", "a/b.jpg/more.zip/x", "../x.jpg", "a/../../x.jpg", "a/b.jpg/x"):
        assert not storage.exists(storage.join(archive, name)) or name == "a"
        for act in (storage.size_of, storage.open_input, storage.read_bytes, storage.sha256_of):
            with pytest.raises(MissingInput, match="no file"):
                act(storage.join(archive, name))


def test_archives_are_not_written(archive: str) -> None:
    with pytest.raises(RecipeError, match="cannot write"):
        storage.write_atomic(storage.join(archive, "new.txt"), b"")


def test_the_archives_name_may_be_a_glob(tmp_path: Path) -> None:
    for name in ("p1.zip", "p2.zip"):
        write_zip(tmp_path / name, {"a.jsonl": b"", "b.txt": b"", ".hidden.jsonl": b"", "__x/._a.jsonl": b""})
    assert storage.list_files(f"{tmp_path}/*.zip/**/*.jsonl") == [f"{tmp_path}/p{i}.zip/a.jsonl" for i in (1, 2)]


def test_a_folder_may_be_named_like_an_archive(tmp_path: Path) -> None:
    url = str(tmp_path / "images.zip" / "a.txt")
    storage.write_atomic(url, b"text")
    assert storage.is_local(url) and storage.read_bytes(url) == b"text"
    assert storage.list_files(str(tmp_path / "images.zip")) == [url]
    assert not storage.is_archive(str(tmp_path / "images.zip"))


NAMES = st.text(st.sampled_from("ab."), min_size=1, max_size=3).filter(lambda name: name.strip("."))
TREES = st.lists(st.lists(NAMES, min_size=1, max_size=3).map("/".join), min_size=1, max_size=8)
PATTERNS = st.lists(st.sampled_from(["*", "**", "a*", "?", "[ab]", "a", ".*", "b"]), min_size=1, max_size=4)


@settings(max_examples=80)
@given(TREES, PATTERNS.map("/".join))
def test_globs_find_the_same_in_an_archive_as_in_a_folder(
    tmp_path_factory: pytest.TempPathFactory, names: list[str], pattern: str
) -> None:
    root = tmp_path_factory.mktemp("tree")
    written = []
    for name in names:
        if not any(str(parent) in written for parent in Path(name).parents) and not (root / name).exists():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"")
            written.append(name)
    write_tar(root / "all.tar", dict.fromkeys(written, b""))
    in_folder = [url.removeprefix(f"{root}/") for url in storage.list_files(f"{root}/{pattern}")]
    in_archive = [url.removeprefix(f"{root}/all.tar/") for url in storage.list_files(f"{root}/all.tar/{pattern}")]
    assert in_archive == [name for name in in_folder if name != "all.tar"]


def test_names_that_leave_the_archive_and_links_are_not_in_it(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    with tarfile.open(tmp_path / "x.tar", "w") as archive:
        for name, kind in (("../secret", b"0"), ("/etc/passwd", b"0"), ("link", b"2"), ("hard", b"1"), ("fifo", b"6")):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "../secret"
            archive.addfile(info, io.BytesIO())
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as packed:
        packed.writestr(link, "../secret")
        packed.writestr("../secret", "x")
        packed.writestr("a/../../secret", "x")
    for name in ("x.tar", "x.zip"):
        assert open_archive(str(tmp_path / name)).members == {}
        assert storage.list_files(str(tmp_path / name / "**")) == []


def zip_of(tmp_path: Path, data: bytes, method: int = zipfile.ZIP_DEFLATED) -> tuple[Path, bytearray]:
    """A zip with one member "m", and its bytes to be tampered with; the central record begins at `PK 1 2`."""
    path = tmp_path / "x.zip"
    write_zip(path, {"m": data}, method)
    return path, bytearray(path.read_bytes())


def central(blob: bytearray) -> int:
    return blob.rindex(b"PK\1\2")


def test_a_bomb_yields_what_it_declares_and_no_more(tmp_path: Path) -> None:
    path, blob = zip_of(tmp_path, bytes(200_000_000))
    assert len(blob) < 300_000
    struct.pack_into("<I", blob, central(blob) + 24, 1000)  # it now declares 1,000 bytes
    path.write_bytes(blob)
    url = f"{path}/m"
    assert storage.size_of(url) == 1000
    tracemalloc.start()
    for act in (storage.read_bytes, storage.sha256_of):
        with pytest.raises(CorruptData, match="more than the 1,000 bytes"):
            act(url)
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


def test_members_that_lie_are_errors(tmp_path: Path) -> None:
    def check(change: tuple[int, str, int], message: str, method: int = zipfile.ZIP_DEFLATED) -> None:
        path, blob = zip_of(tmp_path, b"some text " * 20, method)
        offset, kind, value = change
        struct.pack_into(kind, blob, central(blob) + offset, value)
        path.write_bytes(blob)
        for act in (storage.read_bytes, storage.sha256_of):
            with pytest.raises(CorruptData, match=message):
                act(f"{path}/m")

    check((24, "<I", 300), "ends after 200 bytes but declares 300")
    check((24, "<I", 300), "stored in 200 bytes but declares 300", zipfile.ZIP_STORED)
    check((16, "<I", 7), "does not have the CRC")
    check((42, "<I", 5), "has no header at byte 5")
    check((20, "<I", 50_000), "should end behind the end")


def test_a_member_that_begins_before_the_archive_is_an_error(tmp_path: Path) -> None:
    """One byte of the end record: zipfile then places every member so many bytes too early."""
    path, blob = zip_of(tmp_path, b"some text " * 20)
    end = blob.rindex(b"PK\x05\x06")
    struct.pack_into("<I", blob, end + 16, struct.unpack_from("<I", blob, end + 16)[0] + 50)
    path.write_bytes(blob)
    with pytest.raises(CorruptData, match="before the file"):
        storage.read_bytes(f"{path}/m")


def test_damaged_bytes_are_errors(tmp_path: Path) -> None:
    path, blob = zip_of(tmp_path, os.urandom(5000))
    blob[300:320] = bytes(20)
    path.write_bytes(blob)
    with pytest.raises(CorruptData):
        storage.read_bytes(f"{path}/m")
    path, blob = zip_of(tmp_path, b"x" * 5000, zipfile.ZIP_STORED)
    blob[300] ^= 1
    path.write_bytes(blob)
    with pytest.raises(CorruptData, match="CRC"):
        storage.read_bytes(f"{path}/m")


def test_encrypted_and_odd_members_say_what_to_do(tmp_path: Path) -> None:
    path, blob = zip_of(tmp_path, b"text")
    blob[central(blob) + 8] |= 1
    path.write_bytes(blob)
    with pytest.raises(MissingInput, match="encrypted; unpack it"):
        storage.size_of(f"{path}/m")
    write_zip(path, {"m": b"text"}, zipfile.ZIP_BZIP2)
    with pytest.raises(MissingInput, match="packed by method 12; pack it again"):
        storage.read_bytes(f"{path}/m")
    write_zip(tmp_path / "outer.zip", {"inner.zip": path.read_bytes()})
    with pytest.raises(MissingInput, match="an archive inside an archive is not read"):
        storage.read_bytes(f"{tmp_path}/outer.zip/inner.zip/m")


@pytest.mark.parametrize("name", ["x.zip", "x.tar", "x.tar.gz"])
def test_archives_that_break_off_are_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (write_zip if name == "x.zip" else write_tar)(path, {"m": os.urandom(50_000), "n": os.urandom(50_000)})
    path.write_bytes(path.read_bytes()[:70_000])
    with pytest.raises(MissingInput, match=f"{name}.*(whole|breaks off)"):
        storage.exists(f"{path}/m")
    path.write_bytes(b"neither zip nor tar " * 100)
    with pytest.raises(MissingInput, match="whole"):
        storage.list_files(f"{path}/*")


def test_a_tar_with_a_broken_header_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    write_tar(path, {"m": b"1" * 512, "n": b"2" * 512})
    blob = bytearray(path.read_bytes())
    blob[1024 + 10] ^= 1
    path.write_bytes(blob)
    with pytest.raises(MissingInput, match="no header at byte 1024"):
        storage.exists(f"{path}/m")


def test_a_tar_header_that_fits_no_memory_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("x")
    info.type, info.size = tarfile.XHDTYPE, 100_000_000
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(info.tobuf()) + b"".join(packer.compress(bytes(1_000_000)) for _ in range(100))
    (tmp_path / "x.tgz").write_bytes(head + packer.flush())
    tracemalloc.start()
    with pytest.raises(MissingInput, match="a header of 100,000,000 bytes"):
        storage.exists(f"{tmp_path}/x.tgz/m")
    assert tracemalloc.get_traced_memory()[1] < 5_000_000
    tracemalloc.stop()


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_a_changed_archive_is_read_anew(tmp_path: Path, name: str) -> None:
    write = write_zip if name == "x.zip" else write_tar
    path = tmp_path / name
    write(path, {"m": b"old"})
    before = storage.archive_digest(str(path))
    assert storage.read_bytes(f"{path}/m") == b"old"
    write(tmp_path / f"new.{name}", {"m": b"new", "n": b""})
    os.replace(tmp_path / f"new.{name}", path)
    assert storage.read_bytes(f"{path}/m") == b"new" and storage.exists(f"{path}/n")
    assert storage.archive_digest(str(path)) != before
    path.unlink()
    assert not storage.exists(f"{path}/m")


def read_all(path: Path, names: list[str], failures: list[str]) -> None:
    for name in names:
        if storage.read_bytes(f"{path}/{name}") != name.encode() * 1000:
            failures.append(name)


@pytest.mark.parametrize("name", ["x.zip", "x.tar"])
def test_threads_and_forked_processes_share_an_archive(tmp_path: Path, name: str) -> None:
    names = [f"{i}.txt" for i in range(300)]
    path = tmp_path / name
    (write_zip if name == "x.zip" else write_tar)(path, {name: name.encode() * 1000 for name in names})
    failures: list[str] = []
    threads = [threading.Thread(target=read_all, args=(path, names[i::2] * 3, failures)) for i in range(4)]
    for thread in threads:
        thread.start()
    children = []
    for _ in range(3):
        if (child := os.fork()) == 0:
            code = 1
            try:
                bad: list[str] = []
                read_all(path, names, bad)
                code = len(bad)
            finally:
                os._exit(code)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
    for thread in threads:
        thread.join()
    assert failures == []


def test_only_some_archives_stay_open(tmp_path: Path) -> None:
    def num_open() -> int:
        links = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(link.startswith(str(tmp_path)) for link in links)

    for i in range(40):
        write_zip(tmp_path / f"{i}.zip", {"m": b"%d" % i})
    with storage.open_input(f"{tmp_path}/0.zip/m") as first:
        assert [storage.read_bytes(f"{tmp_path}/{i}.zip/m") for i in range(40)] == [b"%d" % i for i in range(40)]
        assert num_open() <= 17
        assert first.read() == b"0"  # its archive was closed meanwhile, but not under its reader


def test_records_in_a_compressed_tar_stream(tmp_path: Path) -> None:
    data = b"".join(b'{"n": %d}\n' % i for i in range(50_000))
    write_tar(tmp_path / "x.tgz", {"a.jsonl": data, "b.jsonl.gz": gzip.compress(b"{}\n")})
    with storage.open_input(f"{tmp_path}/x.tgz/a.jsonl") as file:
        file.seek(len(data) - 13)
        assert file.read() == b'{"n": 49999}\n'
