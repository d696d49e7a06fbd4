"""Reading files, wherever they lie: on this machine, remote, or in an archive on either."""

import errno
import hashlib
import os
import stat
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import BinaryIO, TypeVar, cast

from data_pipeline.errors import MissingInput
from data_pipeline.storage.archives import locate
from data_pipeline.storage.paths import has_scheme, name_of, parent_of
from data_pipeline.storage.ranges import RangeReader, RemoteSource, buffered
from data_pipeline.storage.remote import filesystem_of, identities_in, identity_of, named, remote_call

__all__ = [
    "exists",
    "is_local",
    "marks_of",
    "open_input",
    "read_bytes",
    "read_each",
    "sha256_of",
    "size_of",
]

Item = TypeVar("Item")
Result = TypeVar("Result")

_CHUNK_BYTES = 1 << 20
_READERS = 16
_LOOKS_A_FOLDER = 32  # at more files of one remote folder, listing it costs fewer requests


def is_local(url: str) -> bool:
    """Whether `url` is a path of this machine, so that it can be memory-mapped; false for a file in an archive."""
    return not has_scheme(url) and locate(url) is None


def exists(url: str) -> bool:
    """Whether there is a file or folder at `url`."""
    if inside := locate(url):
        return inside.path in inside.archive.members or inside.path in inside.archive.folders
    if not has_scheme(url):
        return os.path.exists(url)
    filesystem, path = filesystem_of(url)
    return bool(remote_call(url, lambda: filesystem.exists(path)))


def read_each(read: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`read` of each item, in their order, 16 at once: on s3 a small file, or a look at one, costs round trips."""
    with ThreadPoolExecutor(_READERS) as pool:
        return list(pool.map(read, items))


def size_of(url: str) -> int:
    """Size of the file in bytes; of a file in an archive what it unpacks to, and reading never yields more.

    Raises:
        MissingInput: there is no such file, or it is encrypted in its archive.
    """
    if inside := locate(url):
        return inside.archive.member(inside.path).size
    if has_scheme(url):
        return _remote_source(url).size
    with _named(url):
        return os.path.getsize(url)


def marks_of(urls: Sequence[str]) -> dict[str, str]:
    """For each file, a text that changes with its bytes: size, and time of change or etag; "" where there is none.

    A local folder has one too, which changes with the names in it, and a file in an archive has the archive's.
    """
    places = {url: inside.url if (inside := locate(url)) else url for url in urls}
    marks = _marks_of(list(dict.fromkeys(places.values())))
    return {url: marks[place] for url, place in places.items()}


def _marks_of(urls: Sequence[str]) -> dict[str, str]:
    marks = {url: _local_mark(url) for url in urls if not has_scheme(url)}
    folders: defaultdict[str, list[str]] = defaultdict(list)
    for url in urls:
        if has_scheme(url):
            folders[parent_of(url)].append(url)
    for folder, inside in folders.items():
        if len(inside) > _LOOKS_A_FOLDER:
            found = identities_in(folder)
            identities = [found.get(name_of(url)) for url in inside]
        else:
            identities = read_each(identity_of, inside)
        pairs = zip(inside, identities, strict=True)
        marks |= {url: "" if one is None else f"{one[0]} {one[1]}" for url, one in pairs}
    return marks


def _local_mark(path: str) -> str:
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES):
            return ""
        raise
    plain = stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)
    return f"{found.st_size} {found.st_mtime_ns}" if plain else ""


def open_input(url: str) -> BinaryIO:
    """The file opened for reading bytes; use it in a ``with``. It can seek, in a compressed file slowly.

    Raises:
        MissingInput: there is no such file.
        CorruptData: while reading, a file in an archive is not what the archive's index says.
    """
    if inside := locate(url):
        return cast(BinaryIO, inside.archive.open(inside.path))
    if has_scheme(url):
        return cast(BinaryIO, buffered(RangeReader(_remote_source(url))))
    with _named(url):
        return open(url, "rb")


def read_bytes(url: str) -> bytes:
    """The whole file.

    Raises:
        MissingInput: there is no such file.
        RecipeError: it lies in a .tar.gz, of which every such read would decompress all that stands before.
        CorruptData: a file in an archive is not what the archive's index says.
    """
    if inside := locate(url):
        return inside.archive.read(inside.path)
    if has_scheme(url):
        filesystem, path = filesystem_of(url)
        options = {"max_concurrency": 1} if url.startswith("s3://") else {}  # more would ask for the size first
        return remote_call(url, lambda: bytes(filesystem.cat_file(path, **options)))
    with open_input(url) as file:
        return file.read()


def sha256_of(url: str) -> str:
    """Hex sha256 of the file's bytes, read in pieces of 1 MiB.

    Raises:
        MissingInput: there is no such file.
    """
    digest = hashlib.sha256()
    with open_input(url) as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def _remote_source(url: str) -> RemoteSource:
    identity = identity_of(url)
    if identity is None:
        raise named(url)
    return RemoteSource(url, identity[0])


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Turn "there is no such file" into an error that says which one."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        where = "" if os.path.isabs(url) else f" (looked in {os.getcwd()})"
        raise MissingInput(f"no file {url!r}{where}; check the path and data_root") from error
