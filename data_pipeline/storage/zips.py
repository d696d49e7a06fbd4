"""Zip archives with random access: the index is read once, each member by its own range.

A member's own words about itself are not trusted: whatever its header says, reading gives exactly the size that the
index declares or an error, so that a caller who checked the size first cannot be filled with more.
"""

import io
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator

from data_pipeline.errors import CorruptData, MissingInput
from data_pipeline.storage.members import BROKEN_INDEX, Archive, Member, clean_name
from data_pipeline.storage.ranges import ByteSource, RangeReader, SeekableFile, buffered

__all__ = ["ZipArchive"]

_HEADER = struct.Struct("<4s22xHH")  # local header: signature, then the lengths of the name and of the extra field
_EXTRA_GUESS = 256  # bytes of name and extra field that one request reads along, so that it need not ask twice
_PIECE_BYTES = 1 << 18


class ZipArchive(Archive):
    """A zip file; its members are stored or deflated.

    Raises:
        MissingInput: it is no whole zip file.
    """

    def __init__(self, source: ByteSource) -> None:
        self.name = source.name
        self._source = source
        try:
            with zipfile.ZipFile(buffered(RangeReader(source))) as file:
                self.members = dict(_files(file.infolist()))
        except (zipfile.BadZipFile, *BROKEN_INDEX) as error:
            raise MissingInput(f"{source.name!r} is not a whole zip file: {error}; fetch it again") from error

    def open(self, path: str) -> io.BufferedReader:
        """The member `path` for reading; its CRC is checked at its end.

        Of a stored one that is not read from start to end, such as a parquet file, the CRC is not checked.

        Raises:
            MissingInput: no such member, it is encrypted, or compressed by another method than deflate.
            CorruptData: its bytes are not what the index says.
        """
        member = self._readable(path)
        start = self._data_start(path, member, self._source.read_at(member.offset, _HEADER.size))
        if member.method == zipfile.ZIP_STORED:
            return buffered(_Stored(self._source, start, member, self._at(path)))
        return buffered(_Inflater(RangeReader(self._source, start, member.packed), member, self._at(path)))

    def read(self, path: str) -> bytes:
        """All bytes of the member `path`, checked against its size and CRC, in one request where it is remote.

        Raises:
            MissingInput: as for `open`.
            CorruptData: its bytes are not what the index says.
        """
        member = self._readable(path)
        guess = _HEADER.size + _EXTRA_GUESS + member.packed
        blob = self._source.read_at(member.offset, guess)
        begin = self._data_start(path, member, blob) - member.offset
        packed = blob[begin : begin + member.packed]
        if len(packed) < member.packed:
            packed += self._source.read_at(member.offset + begin + len(packed), member.packed - len(packed))
        if member.method == zipfile.ZIP_STORED:
            data = packed
        else:
            with buffered(_Inflater(io.BytesIO(packed), member, self._at(path))) as inflated:
                return inflated.read()
        _check_crc(zlib.crc32(data), member, self._at(path))
        return data

    def _at(self, path: str) -> str:
        return f"{path!r} in {self.name!r}"

    def _readable(self, path: str) -> Member:
        member = self.member(path)
        if member.method not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MissingInput(
                f"{self._at(path)} is packed by method {member.method}; pack it again, stored or deflated"
            )
        if member.method == zipfile.ZIP_STORED and member.size != member.packed:
            raise CorruptData(f"{self._at(path)} is stored in {member.packed:,} bytes but declares {member.size:,}")
        if member.offset < 0:  # zipfile counts from where it found the index
            raise CorruptData(f"{self._at(path)} should begin at byte {member.offset}, before the file")
        return member

    def _data_start(self, path: str, member: Member, header: bytes) -> int:
        if len(header) < _HEADER.size or not header.startswith(b"PK\3\4"):
            raise CorruptData(f"{self._at(path)} has no header at byte {member.offset}")
        _, name_bytes, extra_bytes = _HEADER.unpack_from(header)
        start = member.offset + _HEADER.size + int(name_bytes) + int(extra_bytes)
        if start + member.packed > self._source.size:
            raise CorruptData(f"{self._at(path)} should end behind the end of the archive")
        return start


def _files(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[str, Member]]:
    """(name, member) of every regular file."""
    for i in infos:
        name = clean_name(i.filename)
        if name is not None and not i.is_dir() and not _is_link(i):
            packing = (i.compress_type, bool(i.flag_bits & 1))
            yield name, Member(i.file_size, i.header_offset, i.compress_size, i.CRC, *packing)


def _check_crc(found: int, member: Member, at: str) -> None:
    if found != member.mark:
        raise CorruptData(f"{at} does not have the CRC that the index says")


def _is_link(info: zipfile.ZipInfo) -> bool:
    return (info.external_attr >> 16) & 0o170000 == 0o120000


class _Stored(RangeReader):
    """A member that lies in the archive as it is."""

    def __init__(self, source: ByteSource, start: int, member: Member, at: str) -> None:
        super().__init__(source, start, member.packed)
        self._member = member
        self._at = at
        self._summed = 0  # bytes from the start that are in the CRC
        self._crc = 0

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        begin = self._place
        count = super().readinto(buffer)
        if begin <= self._summed:
            self._crc = zlib.crc32(buffer[self._summed - begin : count], self._crc)
            self._summed = max(self._summed, begin + count)
        if self._summed == self._member.size:
            _check_crc(self._crc, self._member, self._at)
        return count


class _Inflater(SeekableFile):
    """A deflated member as a file of exactly the declared size."""

    def __init__(self, packed: io.RawIOBase | io.BytesIO, member: Member, at: str) -> None:
        super().__init__(member.size)
        self._packed = packed
        self._member = member
        self._at = at
        self._rewind()

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = min(max(self._target(offset, whence), 0), self._member.size)
        if target < self._place:
            self._rewind()
        while self._place < target:
            self._next(min(target - self._place, _PIECE_BYTES))
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._member.size - self._place)
        if count <= 0:
            self._check_end()
            return 0
        data = self._next(count)
        buffer[: len(data)] = data
        return len(data)

    def _rewind(self) -> None:
        self._packed.seek(0)
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._place = 0
        self._crc = 0
        self._is_checked = False

    def _next(self, count: int) -> bytes:
        """At least one and at most `count` bytes more."""
        data = self._step(count)
        if not data:
            raise CorruptData(f"{self._at} ends after {self._place:,} bytes but declares {self._member.size:,}")
        self._place += len(data)
        self._crc = zlib.crc32(data, self._crc)
        if self._place == self._member.size:
            self._check_end()
        return data

    def _check_end(self) -> None:
        if self._is_checked:
            return
        if self._step(1):
            raise CorruptData(f"{self._at} holds more than the {self._member.size:,} bytes that it declares")
        _check_crc(self._crc, self._member, self._at)
        self._is_checked = True

    def _step(self, count: int) -> bytes:
        while True:
            packed = self._inflate.unconsumed_tail or self._packed.read(_PIECE_BYTES) or b""
            try:
                data = self._inflate.decompress(packed, count)
            except zlib.error as error:
                raise CorruptData(f"{self._at} cannot be decompressed: {error}") from error
            if data or not packed or self._inflate.eof:
                return data
