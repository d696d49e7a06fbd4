"""Local paths and remote addresses behave alike; fsspec's own memory file system stands for s3."""

import hashlib
from pathlib import Path

import pytest

from data_pipeline import storage
from data_pipeline.errors import MissingInput


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
