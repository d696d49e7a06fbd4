"""Changed bytes in archives: reading gives the right bytes, or an error that names what is damaged."""

import gzip
import io
import struct
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_archives import zip64

from data_pipeline.config import MediaConfig
from data_pipeline.errors import CorruptData, MissingInput, RecordError
from data_pipeline.media.reading import read_media
from data_pipeline.records.comparison import MediaRef
from data_pipeline.storage.archives import open_archive
from data_pipeline.storage.members import Archive
from data_pipeline.storage.tars import GzippedTarArchive, TarArchive
from data_pipeline.storage.zips import ZipArchive

FILES = {"a.jsonl": b'{"n": 0}\n' * 3, "é/b.bin": bytes(range(40))}
NAME = "damaged archive"
_BLOCK = 512
Kind = type[ZipArchive] | type[TarArchive] | type[GzippedTarArchive]


class Bytes:
    """An archive in memory."""

    name = NAME
    is_remote = False

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, count: int) -> bytes:
        assert offset >= 0
        return self._data[offset : offset + count]


def zip_of(method: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, data in FILES.items():
            file.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


def tar_of(kind: int, **pax: str) -> bytes:
    """Without the zeros that tarfile writes behind the two that end an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=kind) as file:
        for name, data in FILES.items():
            info = tarfile.TarInfo(name)
            info.size, info.pax_headers = len(data), pax
            file.addfile(info, io.BytesIO(data))
        end = file.offset
    return buffer.getvalue()[: end + 2 * _BLOCK]


def flipped(blob: bytes) -> Iterator[tuple[int, bytes]]:
    """The archive with one byte changed, at every place: all of its bits, or one."""
    for place, value in enumerate(blob):
        for change in (0xFF, 1 << place % 8):
            yield place, blob[:place] + bytes([value ^ change]) + blob[place + 1 :]


def streamed(archive: Archive, name: str) -> bytes:
    with archive.open(name) as file:
        return file.read()


def outcomes(kind: Kind, blob: bytes) -> Iterator[tuple[str, bytes | None]]:
    """(name, bytes) of each member by each way of reading, None where an error says what is damaged."""
    try:
        archive = kind(Bytes(blob))
    except MissingInput as error:
        assert NAME in str(error)
        yield from ((name, None) for name in FILES)
        return
    for name in FILES:
        for read in (streamed, kind.read) if kind is not GzippedTarArchive else (streamed,):
            try:
                yield name, read(archive, name)
            except (CorruptData, MissingInput) as error:
                assert repr(name) in str(error)
                yield name, None


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_any_changed_byte_of_a_zip_costs_its_member_or_names_the_archive(method: int) -> None:
    found = [(place, *one) for place, blob in flipped(zip_of(method)) for one in outcomes(ZipArchive, blob)]
    assert [one for one in found if one[2] not in (None, FILES[one[1]])] == []
    assert sum(data is None for _, _, data in found) > 400


def test_any_changed_byte_of_a_compressed_tar_is_found_when_it_is_opened() -> None:
    packed = gzip.compress(tar_of(tarfile.USTAR_FORMAT), mtime=0)
    found = [(place, *one) for place, blob in flipped(packed) for one in outcomes(GzippedTarArchive, blob)]
    assert [one for one in found if one[2] not in (None, FILES[one[1]])] == []
    assert sum(data is None for _, _, data in found) > 3.6 * len(packed)  # the rest are bits that nothing reads


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_changed_byte_of_a_tar_is_its_members_or_names_the_archive(kind: int) -> None:
    """A tar has checksums of its headers only: a changed byte of a member's data is the member's."""
    whole = tar_of(kind)
    for place, blob in list(flipped(whole))[::10]:
        for name, data in outcomes(TarArchive, blob):
            if data not in (None, FILES[name]):
                start = TarArchive(Bytes(whole)).members[name].offset
                assert data == blob[start : start + len(FILES[name])] and start <= place < start + len(data)


@pytest.mark.parametrize("offset", [7, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("packed", [4, 1 << 42, (1 << 64) - 1])
def test_places_and_sizes_of_64_bits_are_refused_and_take_no_memory(tmp_path: Path, offset: int, packed: int) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip64(packed, packed, offset))
    for read in (streamed, ZipArchive.read):
        with pytest.raises(CorruptData, match=r"'m' in .*x.zip"):
            read(open_archive(str(path)), "m")


def test_a_size_beyond_the_archive_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(zip64(1 << 45, 1 << 45))
    with pytest.raises(CorruptData, match="'m' in .* should end behind the end"):
        open_archive(str(path)).read("m")


def header(size: bytes, kind: bytes = b"0", name: str = "m") -> bytes:
    """A tar's header with any size, checksummed."""
    info = tarfile.TarInfo(name)
    info.type = kind
    block = bytearray(info.tobuf(tarfile.USTAR_FORMAT))
    block[124:136] = size.ljust(12, b"\0")
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


NEGATIVE = (-512).to_bytes(12, "big", signed=True)
DATA = b"1" * _BLOCK
ZEROS = bytes(2 * _BLOCK)
EMPTY_PAX = header(b"%o" % 9, b"x") + b"9 path=m\n".ljust(_BLOCK, b"\0")
HOSTILE_TARS = {
    "a negative size": header(NEGATIVE) + DATA + ZEROS,
    "a negative long name": header(NEGATIVE, b"L") + DATA + ZEROS,
    "a negative pax header": header(NEGATIVE, b"x") + DATA + ZEROS,
    "a size of 2^80": header(b"\x80" + (1 << 80).to_bytes(11, "big")) + DATA + ZEROS,
    "pax: a negative size": tar_of(tarfile.PAX_FORMAT, size="-1024"),
    "pax: no number": tar_of(tarfile.PAX_FORMAT, mtime="inf"),
    "pax: no length": header(b"%o" % 9, b"x") + b"0 path=m\n".ljust(_BLOCK, b"\0") + header(b"0") + ZEROS,
    "headers in each other": EMPTY_PAX * 1500 + header(b"0") + ZEROS,
    "sparse without numbers": tar_of(tarfile.PAX_FORMAT, **{"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
    "sparse with a wrong map": tar_of(tarfile.PAX_FORMAT, **{"GNU.sparse.map": "a,b", "GNU.sparse.size": "9"}),
    "no length at all": header(b"") + DATA + ZEROS,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("name", HOSTILE_TARS)
@pytest.mark.parametrize("kind", [TarArchive, GzippedTarArchive])
def test_headers_that_lie_end_in_one_error_of_the_archive(name: str, kind: Kind) -> None:
    blob = HOSTILE_TARS[name]
    with pytest.raises(MissingInput, match=f"{NAME}.*(not a whole tar file|breaks off)"):
        kind(Bytes(gzip.compress(blob, 1) if kind is GzippedTarArchive else blob))


def test_a_picture_whose_place_is_wrong_is_refused_and_the_others_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    blob = bytearray(zip_of(zipfile.ZIP_DEFLATED))
    struct.pack_into("<I", blob, blob.index(b"PK\1\2") + 42, 0x7FFFFFFF)  # the first member's place
    path.write_bytes(blob)
    assert read_media(MediaRef(path="é/b.bin"), str(path), MediaConfig()) == FILES["é/b.bin"]
    with pytest.raises(RecordError, match="broken_image: 'a.jsonl'.*no header at byte 2147483647"):
        read_media(MediaRef(path="a.jsonl"), str(path), MediaConfig())
    struct.pack_into("<I", blob, blob.rindex(b"PK\5\6") + 16, 1 << 20)  # all members then begin before the file
    path.write_bytes(blob)
    with pytest.raises(RecordError, match=r"broken_image: 'é/b.bin'.*before the file"):
        read_media(MediaRef(path="é/b.bin"), str(path), MediaConfig())
