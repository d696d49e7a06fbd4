"""Tar archives: plain ones with random access by an index, compressed ones (.tar.gz, .tgz) to be read in one pass.

A tar has no table of contents, so its headers are walked once a process. A compressed one is decompressed for that,
and again up to a member's place whenever the member is opened: right for a few large files of records, and refused for
reading many small ones such as images.
"""

import gzip
import io
import tarfile
from collections.abc import Iterator
from typing import cast

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage.members import BROKEN_INDEX, Archive, Member, clean_name
from data_pipeline.storage.ranges import ByteSource, RangeReader, SeekableFile, buffered

__all__ = ["GzippedTarArchive", "TarArchive"]

_MAX_HEADER_BYTES = 1 << 20
_MAX_RATIO = 1100  # deflate gives at most 1032 bytes for one
_PIECE_BYTES = 1 << 18
_BROKEN = (tarfile.TarError, gzip.BadGzipFile, *BROKEN_INDEX)
_HEADER_TYPES = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class TarArchive(Archive):
    """A plain tar file.

    Raises:
        MissingInput: it is no whole tar file.
    """

    def __init__(self, source: ByteSource) -> None:
        self.name = source.name
        self._source = source
        with buffered(RangeReader(source)) as file:
            self.members = dict(_walk(file, source.name, "r:", source.size))
        for path, member in self.members.items():
            if member.offset + member.size > source.size:
                raise MissingInput(f"{source.name!r} breaks off inside {path!r}; fetch it again")

    def open(self, path: str) -> io.BufferedReader:
        """The member `path` for reading and seeking.

        Raises:
            MissingInput: there is no such member.
        """
        member = self.member(path)
        return buffered(RangeReader(self._source, member.offset, member.size))

    def read(self, path: str) -> bytes:
        """All bytes of the member `path`.

        Raises:
            MissingInput: there is no such member.
        """
        member = self.member(path)
        data = self._source.read_at(member.offset, member.size)
        if len(data) != member.size:
            raise CorruptData(f"{path!r} in {self.name!r} has {len(data):,} of its {member.size:,} bytes")
        return data


class GzippedTarArchive(Archive):
    """A tar file in gzip: members can be opened, each time from the start of the archive.

    Raises:
        MissingInput: it is no whole .tar.gz file.
    """

    def __init__(self, source: ByteSource) -> None:
        self.name = source.name
        self._source = source
        with buffered(RangeReader(source)) as file, gzip.GzipFile(fileobj=file) as unpacked:
            self.members = dict(_walk(unpacked, source.name, "r|", source.size * _MAX_RATIO))
            _read_to_end(unpacked, source.name)

    def open(self, path: str) -> io.BufferedReader:
        """The member `path` for reading.

        Raises:
            MissingInput: there is no such member.
        """
        member = self.member(path)
        unpacked = gzip.GzipFile(fileobj=buffered(RangeReader(self._source)))
        return buffered(_Part(unpacked, member, f"{path!r} in {self.name!r}"))

    def packed_bytes(self, path: str) -> int:
        """Of the whole archive."""
        self.member(path)
        return self._source.size

    def is_seekable(self, path: str) -> bool:
        """Never: all that stands before would be decompressed again."""
        self.member(path)
        return False

    def read(self, path: str) -> bytes:
        """Refused, because each such read would decompress the archive from its start.

        Raises:
            MissingInput: there is no such member.
            RecipeError: always, else.
        """
        self.member(path)
        raise RecipeError(
            f"{path!r} lies in {self.name!r}, which can only be read from start to end: unpack it, or pack it again as"
            " .tar or .zip; a compressed tar may hold files of records, but no images"
        )


class _BoundedInfo(tarfile.TarInfo):
    """A header whose long name or extra attributes fit in memory; `tarfile` itself would read any length."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        # A negative size would read all that follows into memory, or walk the archive in a circle.
        if self.size < 0 or (self.type in _HEADER_TYPES and self.size > _MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header of {self.size:,} bytes at byte {self.offset}")
        return cast(tarfile.TarInfo, super()._proc_member(tar))  # type: ignore[misc]

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> "_BoundedInfo":
        try:
            return super().fromtarfile(tar)
        except (tarfile.InvalidHeaderError, tarfile.TruncatedHeaderError) as error:  # type: ignore[attr-defined]
            # `tarfile` itself would stop here without a word, as at the end of the archive.
            raise tarfile.ReadError(f"no header at byte {tar.offset} ({error})") from error


def _walk(file: object, name: str, mode: str, most: int) -> Iterator[tuple[str, Member]]:
    """(name, member) of every regular file, in the archive's order; the archive unpacks to at most `most` bytes."""
    try:
        with tarfile.open(fileobj=file, mode=mode, tarinfo=_BoundedInfo) as tar:  # type: ignore[call-overload]
            while (info := tar.next()) is not None:
                # An extended header may say so; to pass over more than there is takes for ever in a compressed one.
                if info.size < 0 or not info.offset < tar.offset < most + tarfile.BLOCKSIZE:
                    raise tarfile.ReadError(f"a member of {info.size:,} bytes at byte {info.offset}")
                tar.members = []  # it would keep a kilobyte of every member
                path = clean_name(info.name) if info.isreg() and not info.issparse() else None
                if path is not None:
                    yield path, Member(info.size, info.offset_data, info.size, int(info.mtime))
    except _BROKEN as error:
        raise _not_whole(name, error) from error


def _read_to_end(unpacked: gzip.GzipFile, name: str) -> None:
    """Past the last member, to where gzip has the checksum of all of them."""
    try:
        while unpacked.read(_PIECE_BYTES):
            pass
    except _BROKEN as error:
        raise _not_whole(name, error) from error


def _not_whole(name: str, error: BaseException) -> MissingInput:
    return MissingInput(f"{name!r} is not a whole tar file: {error}; fetch it again")


class _Part(SeekableFile):
    """One member of a decompressed stream as a file."""

    def __init__(self, stream: gzip.GzipFile, member: Member, at: str) -> None:
        super().__init__(member.size)
        self._stream = stream
        self._member = member
        self._at = at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = min(max(self._target(offset, whence), 0), self._member.size)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._member.size - self._place)
        if count <= 0:
            return 0
        try:
            self._stream.seek(self._member.offset + self._place)
            data = self._stream.read(count)
        except _BROKEN as error:  # it was whole when its index was read
            raise CorruptData(f"{self._at} cannot be decompressed any more: {error}") from error
        if not data:
            raise CorruptData(f"{self._at} is cut off, though the archive's index has it")
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
