"""What is unpacked to the disk of temporary files: bounded by its bytes in the archive, and by the room there is."""

import io
import os
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_archives import zip64

from data_pipeline import storage
from data_pipeline.errors import MissingInput, NoSpace
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.storage import unpacked

MIB = 1 << 20


@pytest.fixture
def free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder for temporary files."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def zipped(path: Path, name: str, data: bytes) -> str:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(name, data)
    return f"{path}/{name}"


def declaring(path: Path, size: int) -> str:
    """A zip whose one deflated member declares `size` bytes in 4."""
    path.write_bytes(zip64(size, method=zipfile.ZIP_DEFLATED))
    return f"{path}/m"


def refused(url: str) -> None:
    with pytest.raises(MissingInput, match=r"unpacks to [0-9,]+ bytes from [0-9,]+, .*unpack it and name the file"):
        storage.open_seekable(url).__enter__()


@pytest.mark.parametrize("size", [256 * MIB + 1, 1_610_612_736, 1 << 62])
def test_a_small_zip_that_declares_gigabytes_is_refused_before_it_is_unpacked(
    tmp_path: Path, free: Path, size: int
) -> None:
    refused(declaring(tmp_path / "x.zip", size))


def test_a_compressed_tar_counts_as_a_whole(tmp_path: Path, free: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacked, "_UNPACKED_BYTES", MIB)
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as file:
        info = tarfile.TarInfo("r.parquet")
        info.size = 3 * MIB
        file.addfile(info, io.BytesIO(bytes(info.size)))
    refused(f"{tmp_path}/x.tar.gz/r.parquet")
    with pytest.raises(MissingInput, match="unpacks to 3,145,728 bytes"):
        list(read_rows(f"{tmp_path}/x.tar.gz/r.parquet"))


def test_a_real_table_is_read_however_large_it_is_for_its_bytes_are_there(
    tmp_path: Path, free: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "_UNPACKED_BYTES", 1000)
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [os.urandom(9).hex() for _ in range(3000)]}), table, compression="none")
    url = zipped(tmp_path / "x.zip", "r.parquet", table.getvalue())
    assert storage.size_of(url) > 50_000
    assert len(list(read_rows(url))) == 3000
    assert list(free.iterdir()) == []


def test_a_full_disk_is_said_before_anything_is_written(
    tmp_path: Path, free: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacked, "_UNPACKED_BYTES", 1 << 62)
    url = declaring(tmp_path / "x.zip", 1 << 60)
    with pytest.raises(NoSpace, match=r"1,152,921,504,606,846,976 bytes wanted, [1-9][0-9,]* free"):
        storage.open_seekable(url).__enter__()
    with pytest.raises(NoSpace, match="bytes wanted"):
        storage.local_copy(url).__enter__()
    assert list(free.iterdir()) == []
