"""Writing files so that no reader, and no crash, ever sees half of one, and JSON that holds its own checksum.

A marker (``manifest.json``, ``COMPLETE.json``, ``model.json``) vouches for other files by their checksums, so a changed
bit in the marker itself would go unnoticed: one digit of a step, one letter of a key. `to_checked_json` writes the
fields with a checksum over all of them; `from_checked_json` refuses what does not match.
"""

import errno
import hashlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from data_pipeline.errors import CorruptData, MissingInput, NoSpace, RecipeError
from data_pipeline.storage.archives import locate
from data_pipeline.storage.drafts import draft_beside
from data_pipeline.storage.files import read_bytes
from data_pipeline.storage.paths import has_scheme, name_of, parent_of
from data_pipeline.storage.remote import filesystem_of, remote_call

__all__ = [
    "CHECKSUM",
    "LEASE",
    "create_only",
    "delete_file",
    "delete_folder",
    "disk_room",
    "from_checked_json",
    "from_json_of_any_age",
    "make_parent",
    "read_json",
    "to_checked_json",
    "upload",
    "write_atomic",
]

Kind = TypeVar("Kind", dict[str, Any], list[Any])

logger = logging.getLogger(__name__)

LEASE = ".lease-"
"""How the name of a lease's file begins."""
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
_CREATED_BY_ANOTHER = ("PreconditionFailed", "ConditionalRequestConflict")


def make_parent(url: str) -> None:
    """Make the folder that `url` will lie in; s3 has no folders, so nothing happens there."""
    if not has_scheme(url):
        os.makedirs(parent_of(url), exist_ok=True)


def write_atomic(url: str, data: bytes) -> None:
    """Write `data` so that a reader, or a crash, sees the old file or the new one and never a part.

    Missing folders are made. Of two writers at once the last one wins whole.

    Raises:
        RecipeError: `url` lies in an archive or on the hub, which are only read.
        NoSpace: the disk is full.
        RunError: the remote store kept failing.
    """
    _check_writable(url)
    if has_scheme(url):
        filesystem, path = filesystem_of(url)
        remote_call(url, lambda: filesystem.pipe_file(path, data), is_read=False)
        return
    temporary = Path(draft_beside(url))
    try:
        with disk_room(url, len(data)):
            make_parent(url)
            with open(temporary, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())  # a rename may reach the disk before the bytes do
            os.replace(temporary, url)
    finally:
        temporary.unlink(missing_ok=True)


def _check_writable(url: str) -> None:
    if locate(url) is not None or url.startswith("hf://"):
        raise RecipeError(f"cannot write {url!r}: archives and hf:// are only read; name a folder or s3://bucket/key")


def create_only(url: str, data: bytes) -> bool:
    """Write `data` where there is no file yet; returns whether this call did, of several at once exactly one.

    Raises:
        RecipeError: as for `write_atomic`.
        MissingInput: the place may not be written.
        RunError: the remote store kept failing.
    """
    _check_writable(url)
    if has_scheme(url):
        filesystem, path = filesystem_of(url)
        return remote_call(url, lambda: _created(filesystem, path, data), is_read=False)
    try:
        with disk_room(url, len(data)):
            make_parent(url)
            return _linked(Path(url), data)
    except PermissionError as error:
        raise MissingInput(f"may not write {parent_of(url)!r}: {error.strerror}; name another folder") from error


def _created(filesystem: Any, path: str, data: bytes) -> bool:
    """By a condition that the store itself checks: ``If-None-Match: *`` on s3."""
    try:
        filesystem.pipe_file(path, data, mode="create")
    except FileExistsError:
        return False
    except OSError as error:
        response = getattr(error.__cause__, "response", None) or {}
        if response.get("Error", {}).get("Code") in _CREATED_BY_ANOTHER:
            return False
        raise
    return True


def _linked(path: Path, data: bytes) -> bool:
    """By a hard link, which never replaces a file, of one that is whole already; on NFS too."""
    temporary = Path(draft_beside(str(path)))
    try:
        temporary.write_bytes(data)
        os.link(temporary, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS or not temporary.exists():
            raise
        try:  # a disk without links: whoever looks in this moment finds a part of the file
            with open(path, "xb") as file:
                file.write(data)
        except FileExistsError:
            return False
    finally:
        temporary.unlink(missing_ok=True)
    return True


def delete_file(url: str) -> None:
    """Delete one file; it may be gone already."""
    if has_scheme(url):
        filesystem, path = filesystem_of(url)
        with suppress(MissingInput):
            remote_call(url, lambda: filesystem.rm_file(path), is_read=False)
        return
    Path(url).unlink(missing_ok=True)


@contextmanager
def disk_room(path: str, num_bytes: int) -> Iterator[None]:
    """Turn "no space left" while writing `path` into an error that says how much was wanted and how much there is.

    Raises:
        NoSpace: the disk, or the user's share of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        folder = parent_of(path)
        free = shutil.disk_usage(folder).free if os.path.isdir(folder) else 0
        raise NoSpace(
            f"cannot write {path!r}: {error.strerror}; {num_bytes:,} bytes wanted, {free:,} free;"
            " make room on that disk or name another folder, then run again: what is finished is kept"
        ) from error


def upload(path: str, url: str) -> None:
    """Put the local file `path` at `url`, whole or not at all; a local one is moved, and so must lie on the same disk.

    Raises:
        NoSpace: the disk is full.
        RunError: the remote store kept failing.
    """
    if has_scheme(url):
        filesystem, remote = filesystem_of(url)
        remote_call(url, lambda: filesystem.put_file(path, remote), is_read=False)
        return
    with open(path, "rb") as file, disk_room(url, os.path.getsize(path)):
        os.fsync(file.fileno())
    os.replace(path, url)


def delete_folder(url: str, *, first: str) -> None:
    """Delete a folder with all that lies in it, the file called `first` before the others; it may be gone already.

    In an object store, which has no folders, the lease of whoever is about to fill it again stays.
    """
    if has_scheme(url):
        filesystem, path = filesystem_of(url)
        names = remote_call(url, lambda: [str(name) for name in filesystem.find(path)], is_read=False)
        names = [name for name in names if not name_of(name).startswith(LEASE)]
        for name in sorted(names, key=lambda name: name_of(name) != first):
            remote_call(url, lambda name=name: filesystem.rm_file(name), is_read=False)  # type: ignore[misc]
        return
    (Path(url) / first).unlink(missing_ok=True)
    if os.path.isdir(url):
        shutil.rmtree(url)


CHECKSUM = "checksum"


def to_checked_json(fields: Mapping[str, Any], *, indent: int | None = 1) -> bytes:
    """`fields` as readable JSON with their checksum, on one line without `indent`; floats come back bit for bit.

    >>> from_checked_json(to_checked_json({"step": 36}), "COMPLETE.json")
    {'step': 36}
    """
    assert CHECKSUM not in fields
    checked = {**fields, CHECKSUM: _checksum(fields)}
    return (json.dumps(checked, indent=indent, sort_keys=True, ensure_ascii=False) + "\n").encode()


def from_checked_json(data: bytes, url: str) -> dict[str, Any]:
    """The fields in `data`; `url` is for messages.

    Raises:
        CorruptData: it is no JSON object, has no checksum, or the fields differ from it.
    """
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise CorruptData(f"{url!r} is damaged: {error}") from error
    if not isinstance(fields, dict):
        raise CorruptData(f"{url!r} is damaged: it holds no JSON object")
    written = fields.pop(CHECKSUM, None)
    if written is None:
        raise CorruptData(f"{url!r} has no {CHECKSUM}: it is damaged, or an earlier version wrote it")
    if written != _checksum(fields):
        raise CorruptData(f"{url!r} is damaged: its content differs from its {CHECKSUM}")
    return fields


def read_json(url: str, kind: type[Kind]) -> Kind:
    """What a file of ours without a checksum holds, an object (`dict`) or a list.

    Raises:
        CorruptData: it is empty, cut or something else.
    """
    try:
        value = json.loads(read_bytes(url))
    except ValueError as error:
        raise CorruptData(f"{url!r} is damaged ({error}): restore it from a copy, or take another folder") from error
    if not isinstance(value, kind):
        raise CorruptData(f"{url!r} is damaged (it holds no {kind.__name__}): restore it, or take another folder")
    return value


def from_json_of_any_age(data: bytes, url: str) -> dict[str, Any]:
    """As `from_checked_json`, for files that early versions wrote without a checksum: those are taken as they are.

    A damaged file does not pass for an early one where its reader knows all keys: the checksum's would be unknown.

    Raises:
        CorruptData: it is no JSON object, or the fields differ from the checksum that it has.
    """
    try:
        fields = json.loads(data)
    except ValueError as error:
        raise CorruptData(f"{url!r} is damaged: {error}") from error
    if isinstance(fields, dict) and CHECKSUM not in fields:
        _say_early(url)
        return fields
    return from_checked_json(data, url)


@lru_cache(maxsize=1000)
def _say_early(url: str) -> None:
    """Once a process and file."""
    logger.warning("%s has no checksum, an early version wrote it: a changed digit in it would pass unnoticed", url)


def _checksum(fields: Mapping[str, Any]) -> str:
    """sha256 of the fields as JSON without spaces, keys sorted: the same before writing and after reading."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
