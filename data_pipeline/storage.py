"""The one door to files: local paths and ``s3://`` addresses behind the same functions.

A path without a scheme is local and relative to the working folder; anything with ``://`` goes through fsspec
(``s3://`` reads its keys and its endpoint from the usual AWS variables). Writers never leave half a file behind:
locally a temporary name is renamed, on s3 an object appears only when its upload is complete.
"""

import glob
import hashlib
import os
import posixpath
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from data_pipeline.errors import MissingInput

__all__ = [
    "absolute",
    "exists",
    "is_local",
    "join",
    "list_files",
    "make_parent",
    "name_of",
    "open_input",
    "parent_of",
    "read_bytes",
    "sha256_of",
    "size_of",
    "write_atomic",
]

_CHUNK_BYTES = 1 << 20


def is_local(url: str) -> bool:
    """Whether `url` is a path of this machine, so that it can be memory-mapped."""
    return "://" not in url


def join(base: str, *parts: str) -> str:
    """`base` and `parts` as one path; an absolute part, or one with a scheme, replaces what stands before it.

    >>> join("s3://bucket/data", "a.jsonl"), join("data", "s3://bucket/a.jsonl"), join("", "a.jsonl")
    ('s3://bucket/data/a.jsonl', 's3://bucket/a.jsonl', 'a.jsonl')
    """
    path = base
    for part in parts:
        path = part if not is_local(part) else posixpath.join(path, part)
    return path


def absolute(url: str) -> str:
    """`url` for a process that runs in another folder: local paths made absolute, others as they are."""
    return os.path.abspath(url) if is_local(url) else url


def parent_of(url: str) -> str:
    """The folder that holds `url`: "data/a.jsonl" -> "data", "a.jsonl" -> "."."""
    return posixpath.dirname(url) or "."


def name_of(url: str) -> str:
    """The last part of `url`: "data/a.jsonl" -> "a.jsonl"."""
    return posixpath.basename(url)


def exists(url: str) -> bool:
    """Whether there is a file or folder at `url`."""
    if is_local(url):
        return os.path.exists(url)
    filesystem, path = _remote(url)
    return bool(filesystem.exists(path))


def list_files(url_glob: str) -> list[str]:
    """The files that `url_glob` names, sorted; empty where none does.

    A file stands for itself (also with ``*`` or ``[`` in its name), a folder for the files directly in it,
    anything else is a glob in which ``**`` crosses folders. Local results stay relative where `url_glob` is.
    """
    if is_local(url_glob):
        return _list_local(url_glob)
    filesystem, path = _remote(url_glob)
    if filesystem.isfile(path):
        return [url_glob]
    pattern = f"{path.rstrip('/')}/*" if filesystem.isdir(path) else path
    found = filesystem.glob(pattern, detail=True)
    return sorted(str(filesystem.unstrip_protocol(name)) for name, info in found.items() if info["type"] == "file")


def size_of(url: str) -> int:
    """Size of the file in bytes.

    Raises:
        MissingInput: there is no such file.
    """
    with _named(url):
        if is_local(url):
            return os.path.getsize(url)
        filesystem, path = _remote(url)
        return int(filesystem.size(path))


def open_input(url: str) -> BinaryIO:
    """The file opened for reading bytes; use it in a ``with``.

    Raises:
        MissingInput: there is no such file.
    """
    with _named(url):
        if is_local(url):
            return open(url, "rb")
        filesystem, path = _remote(url)
        return cast(BinaryIO, filesystem.open(path, "rb"))


def read_bytes(url: str) -> bytes:
    """The whole file.

    Raises:
        MissingInput: there is no such file.
    """
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


def make_parent(url: str) -> None:
    """Make the folder that `url` will lie in; s3 has no folders, so nothing happens there."""
    if is_local(url):
        os.makedirs(parent_of(url), exist_ok=True)


def write_atomic(url: str, data: bytes) -> None:
    """Write `data` so that a reader, or a crash, sees the old file or the new one and never a part.

    Missing folders are made. Of two writers at once the last one wins whole.
    """
    if not is_local(url):
        filesystem, path = _remote(url)
        filesystem.pipe_file(path, data)
        return
    make_parent(url)
    temporary = Path(parent_of(url)) / f".{name_of(url)}.{secrets.token_hex(8)}.tmp"
    try:
        with open(temporary, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())  # a rename may reach the disk before the bytes do
        os.replace(temporary, url)
    finally:
        temporary.unlink(missing_ok=True)


def _list_local(path: str) -> list[str]:
    if os.path.isfile(path):
        return [path]
    pattern = posixpath.join(glob.escape(path), "*") if os.path.isdir(path) else path
    return sorted(found for found in glob.glob(pattern, recursive=True) if os.path.isfile(found))


def _remote(url: str) -> tuple[Any, str]:
    """The fsspec file system and the path inside it; listings are not cached, since other processes write too."""
    try:
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ValueError as error:
        raise MissingInput(f"cannot read {url!r}: {error}; use a local path or s3://bucket/key") from error
    return filesystem, str(path)


@contextmanager
def _named(url: str) -> Iterator[None]:
    """Turn "there is no such file" into an error that says which one."""
    try:
        yield
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        where = f" (looked in {os.getcwd()})" if is_local(url) and not os.path.isabs(url) else ""
        raise MissingInput(f"no file {url!r}{where}; check the path and data_root") from error
