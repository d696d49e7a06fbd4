"""Tar archives: plain ones with random access by an index, compressed ones (.tar.gz, .tgz) to be read in one pass.

A tar has no table of contents, so its headers are walked once a process. A compressed one is decompressed for that,
and again up to a member's place whenever the member is opened: right for a few large files of records, and refused for
reading many small ones such as images.
"""

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator
from typing import cast

from data_pipeline.errors import CorruptData, MissingInput, RecipeError
from data_pipeline.storage.members import Archive, Member, clean_name
from data_pipeline.storage.ranges import ByteSource, RangeReader, SeekableFile, buffered

__all__ = ["GzippedTarArchive", "TarArchive"]

_MAX_HEADER_BYTES = 1 << 20
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
            self.members = dict(_walk(file, source.name, "r:"))
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
            self.members = dict(_walk(unpacked, source.name, "r|"))

    def open(self, path: str) -> io.BufferedReader:
        """The member `path` for reading.

        Raises:
            MissingInput: there is no such member.
        """
        member = self.member(path)
        unpacked = gzip.GzipFile(fileobj=buffered(RangeReader(self._source)))
        return buffered(_Part(unpacked, member))

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
        if self.type in _HEADER_TYPES and self.size > _MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of {self.size:,} bytes at byte {self.offset}")
        return cast(tarfile.TarInfo, super()._proc_member(tar))  # type: ignore[misc]


def _walk(file: object, name: str, mode: str) -> Iterator[tuple[str, Member]]:
    """(name, member) of every regular file, in the archive's order."""
    try:
        with tarfile.open(fileobj=file, mode=mode, tarinfo=_BoundedInfo) as tar:  # type: ignore[call-overload]
            while (info := tar.next()) is not None:
                tar.members = []  # it would keep a kilobyte of every member
                path = clean_name(info.name) if info.isreg() and not info.issparse() else None
                if path is not None:
                    yield path, Member(info.size, info.offset_data, info.size, int(info.mtime))
            end = tar.offset
            if mode == "r:":
                tar.fileobj.seek(end)
                if tar.fileobj.read(tarfile.BLOCKSIZE).strip(b"\0"):  # tarfile stops at a broken header without a word
                    raise tarfile.ReadError(f"no header at byte {end}")
    except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        raise MissingInput(f"{name!r} is not a whole tar file: {error}; fetch it again") from error


class _Part(SeekableFile):
    """One member of a decompressed stream as a file."""

    def __init__(self, stream: gzip.GzipFile, member: Member) -> None:
        super().__init__(member.size)
        self._stream = stream
        self._member = member

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = min(max(self._target(offset, whence), 0), self._member.size)
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._member.size - self._place)
        if count <= 0:
            return 0
        self._stream.seek(self._member.offset + self._place)
        data = self._stream.read(count)
        if not data:
            raise CorruptData("a compressed tar ends inside a member that its index has")
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def close(self) -> None:
        self._stream.close()
        super().close()
