"""Files for libraries that jump about in them, or that read local files only: unpacked or copied to temporary files.

A small file in an archive may declare gigabytes, so both the ratio and the room on the disk are looked at first.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from data_pipeline.errors import MissingInput
from data_pipeline.storage.archives import Inside, locate
from data_pipeline.storage.files import is_local, open_input, size_of
from data_pipeline.storage.paths import name_of
from data_pipeline.storage.writing import disk_room

__all__ = ["local_copy", "open_seekable"]

_CHUNK_BYTES = 1 << 20
_UNPACKED_BYTES, _UNPACKED_RATIO = 1 << 28, 32
"""What is unpacked has at most that many bytes, or times the bytes that it has in its archive."""


@contextmanager
def open_seekable(url: str) -> Iterator[BinaryIO]:
    """The file opened for jumping about in it: one that is compressed in its archive is first unpacked to a file.

    Raises:
        MissingInput: there is no such file, or it unpacks to much more than it is.
        NoSpace: the disk of temporary files has no room for it.
    """
    with open_input(url) as file:
        inside = locate(url)
        if inside is None or inside.archive.is_seekable(inside.path):
            yield file
            return
        _check_unpacked(url, inside)
        with tempfile.TemporaryFile() as unpacked:
            _copy(file, unpacked, size_of(url))
            unpacked.seek(0)
            yield cast(BinaryIO, unpacked)


@contextmanager
def local_copy(url: str) -> Iterator[str]:
    """In the block, a path for a library that reads local files only: `url` itself, or a copy that is gone afterwards.

    Raises:
        MissingInput: there is no such file.
        NoSpace: the disk of temporary files has no room for it.
        RunError: the remote store kept failing.
    """
    if is_local(url):
        yield url
        return
    with tempfile.TemporaryDirectory(prefix="basereward-copy-") as folder:
        copy = os.path.join(folder, name_of(url))
        with open_input(url) as source, open(copy, "wb") as target:
            _copy(source, target, size_of(url))
        yield copy


def _check_unpacked(url: str, inside: Inside) -> None:
    """A file of a megabyte may declare, and unpack to, gigabytes of zeros."""
    size, packed = inside.archive.member(inside.path).size, inside.archive.packed_bytes(inside.path)
    if size > max(_UNPACKED_BYTES, _UNPACKED_RATIO * packed):
        raise MissingInput(
            f"{url!r} unpacks to {size:,} bytes from {packed:,}, more than {_UNPACKED_RATIO} times as many and than "
            f"{_UNPACKED_BYTES:,}: if you trust it, unpack it and name the file"
        )


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """Copy what has `size` bytes into a temporary file, where the disk has room for them."""
    folder = tempfile.gettempdir()
    with disk_room(os.path.join(folder, "a temporary file"), size):
        if size > shutil.disk_usage(folder).free:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        shutil.copyfileobj(source, target, _CHUNK_BYTES)
        target.flush()
