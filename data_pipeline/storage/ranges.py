"""Bytes by range: one source that threads and forked processes share, and readers that each have their own place."""

import io
import os
import weakref
from typing import Protocol

from data_pipeline.errors import CorruptData
from data_pipeline.storage.remote import filesystem_of, identity_of, named, remote_call

__all__ = ["ByteSource", "LocalSource", "RangeReader", "RemoteSource", "SeekableFile", "buffered"]

_BUFFER_BYTES = 1 << 16
_MAX_AHEAD_BYTES = 8 << 20


class ByteSource(Protocol):
    """A file of `size` bytes of which any range can be read at any time, by any thread."""

    name: str
    size: int
    is_remote: bool

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`; fewer only at the end of the file."""


class LocalSource:
    """A file of this machine; reads leave no position behind, so a forked process may go on with it."""

    is_remote = False

    def __init__(self, path: str) -> None:
        self.name = path
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._fd)
        self.size = os.fstat(self._fd).st_size

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`; fewer only at the end of the file."""
        end = _end_of(self, offset, count)
        parts = []
        while offset < end and (part := os.pread(self._fd, end - offset, offset)):
            parts.append(part)
            offset += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)


class RemoteSource:
    """A remote file, each range one request; a broken request is tried again (see `remote_call`).

    Raises:
        MissingInput: there is no such file.
    """

    is_remote = True

    def __init__(self, url: str, size: int | None = None) -> None:
        self.name = url
        if size is None:
            identity = identity_of(url)
            if identity is None:
                raise named(url)
            size = identity[0]
        self.size = size

    def read_at(self, offset: int, count: int) -> bytes:
        """Exactly `count` bytes from `offset`; fewer only at the end of the file."""
        end = _end_of(self, offset, count)
        if offset >= end:
            return b""

        def read() -> bytes:
            filesystem, path = filesystem_of(self.name)  # asked each time: a forked process needs its own
            # The hub's reader would read ahead on its own, and drop it after each range.
            options = {"cache_type": "none"} if self.name.startswith("hf://") else {}
            data = bytes(filesystem.cat_file(path, start=offset, end=end, **options))
            if len(data) != end - offset:
                raise ConnectionError(f"got {len(data)} of the {end - offset} bytes from byte {offset}")
            return data

        return remote_call(self.name, read)


def _end_of(source: ByteSource, offset: int, count: int) -> int:
    """Where `count` bytes from `offset` end in the source, whatever numbers an archive's index holds.

    A read of more than the file has would take that much memory first, and a number of 64 bits is none of the system's.
    """
    if offset < 0:
        raise CorruptData(f"{source.name!r}: a part of it should begin at byte {offset}, before the file")
    return min(offset + count, source.size)


class SeekableFile(io.RawIOBase):
    """What our files over ranges, archives and streams share: a size, a place, and seeking from either end."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self._size = size
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def _target(self, offset: int, whence: int) -> int:
        """The byte that a seek means; it may lie outside of the file."""
        return {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence] + offset


class RangeReader(SeekableFile):
    """Bytes [start, start + size) of a source as a file; ends early never: a source that is too short is an error.

    A remote source is read ahead in steps that double up to 8 MiB while reading goes straight on, and exactly as asked
    after a jump, so that both one long pass and many small random reads are cheap.
    """

    def __init__(self, source: ByteSource, start: int = 0, size: int | None = None) -> None:
        super().__init__(source.size - start if size is None else size)
        self._source = source
        self._start = start
        self._window = b""
        self._window_start = 0
        self._ahead = 0

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        target = self._target(offset, whence)
        if target < 0:
            raise ValueError(f"cannot seek to byte {target} of {self._source.name!r}")
        self._place = target
        return self._place

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        count = min(len(buffer), self._size - self._place)
        if count <= 0:
            return 0
        data = self._read(count)
        if not data:
            raise CorruptData(f"{self._source.name!r} ends at byte {self._start + self._place}, before it should")
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def _read(self, count: int) -> bytes:
        if not self._source.is_remote:
            return self._source.read_at(self._start + self._place, count)
        inside = self._place - self._window_start
        if not 0 <= inside < len(self._window):
            straight_on = inside == len(self._window)
            self._ahead = min(max(2 * self._ahead, count), _MAX_AHEAD_BYTES) if straight_on else 0
            wanted = min(max(count, self._ahead), self._size - self._place)
            self._window = self._source.read_at(self._start + self._place, wanted)
            self._window_start, inside = self._place, 0
        return self._window[inside : inside + count]


def buffered(raw: io.RawIOBase) -> io.BufferedReader:
    """`raw` with a buffer of 64 KiB, so that lines and small reads are cheap."""
    return io.BufferedReader(raw, _BUFFER_BYTES)
