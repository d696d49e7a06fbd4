"""Paths that lead into an archive: finding the archive, and keeping it open with its index.

A process keeps the last few archives open. A local one is looked at whenever it is used, a remote one at most twice a
minute, and opened anew where it has changed. A forked process opens its own.

The archive file systems of fsspec are not used: they take a tar's header into memory at whatever size it declares, and
read a remote archive in blocks of megabytes where a picture needs one range.
"""

import os
import posixpath
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

from data_pipeline.errors import MissingInput
from data_pipeline.storage.members import Archive
from data_pipeline.storage.paths import archive_prefixes, has_archive_name, has_scheme
from data_pipeline.storage.ranges import LocalSource, RemoteSource
from data_pipeline.storage.remote import identity_of
from data_pipeline.storage.tars import GzippedTarArchive, TarArchive
from data_pipeline.storage.zips import ZipArchive

__all__ = ["Inside", "archive_digest", "archive_of", "is_archive", "locate", "open_archive"]

_MAX_OPEN = 16
_TRUST_REMOTE_S = 30.0

Identity = tuple[int, str]


class Inside(NamedTuple):
    """A path that leads into an archive."""

    url: str
    """Of the archive."""
    path: str
    """In the archive, ``.`` parts and doubled slashes removed; ``""``: the archive's top folder."""

    @property
    def archive(self) -> Archive:
        """The open archive."""
        return open_archive(self.url)


@dataclass
class _Open:
    archive: Archive
    identity: Identity
    looked_at: float


class _OpenArchives:
    """The archives that this process has open, the one used last at the end."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget all; also after a fork, when a lock may be held by a thread that is not there any more."""
        self._lock = threading.Lock()
        self._building: dict[str, threading.Lock] = {}
        self._open: OrderedDict[str, _Open] = OrderedDict()

    def identity(self, url: str) -> Identity | None:
        """Of the file at `url`, or None where there is none; what is known of a remote one is trusted for a while."""
        if not has_scheme(url):
            return _local_identity(url)
        with self._lock:
            known = self._open.get(url)
        if known is not None and time.monotonic() - known.looked_at < _TRUST_REMOTE_S:
            return known.identity
        found = identity_of(url)
        if known is not None and found == known.identity:
            known.looked_at = time.monotonic()
        return found

    def get(self, url: str) -> Archive:
        with self._lock:
            building = self._building.setdefault(url, threading.Lock())
        with building:  # of many threads one reads the index and the others wait for it
            identity = self.identity(url)
            if identity is None:
                raise MissingInput(f"no archive {url!r}; check the path and data_root")
            with self._lock:
                known = self._open.get(url)
                if known is not None and known.identity == identity:
                    self._open.move_to_end(url)
                    return known.archive
            archive = _read_index(url, identity[0])
            with self._lock:
                self._open[url] = _Open(archive, identity, time.monotonic())
                self._open.move_to_end(url)
                while len(self._open) > _MAX_OPEN:
                    self._open.popitem(last=False)
            return archive


_ARCHIVES = _OpenArchives()
os.register_at_fork(after_in_child=_ARCHIVES.reset)


def open_archive(url: str) -> Archive:
    """The archive at `url`, with its index; threads share it.

    Raises:
        MissingInput: there is no such file, or it is no whole archive.
    """
    return _ARCHIVES.get(url)


def is_archive(url: str) -> bool:
    """Whether `url` itself is an archive: a file whose name ends in .zip, .tar, .tar.gz or .tgz."""
    return has_archive_name(url) and locate(url) is None and _ARCHIVES.identity(url) is not None


def archive_of(url: str) -> str | None:
    """The archive that `url` is or leads into; None for everything else."""
    if inside := locate(url):
        return inside.url
    return url if is_archive(url) else None


def archive_digest(url: str) -> str:
    """A cheap identity of the archive: hex sha256 over its members' names, sizes, places and CRCs (tar: times).

    Raises:
        MissingInput: there is no such file, or it is no whole archive.
    """
    return open_archive(url).digest


def locate(url: str) -> Inside | None:
    """Where `url` leads into an archive; None where it does not.

    The first part of the path that is named like an archive and is a file counts; a folder may have such a name.
    """
    for archive, path in archive_prefixes(url):
        if _ARCHIVES.identity(archive) is not None:
            clean = posixpath.normpath(path)
            return Inside(archive, "" if clean == "." else clean)
    return None


def _local_identity(path: str) -> Identity | None:
    if not os.path.isfile(path):
        return None
    status = os.stat(path)
    return status.st_size, f"{status.st_ino} {status.st_mtime_ns}"


def _read_index(url: str, size: int) -> Archive:
    source = RemoteSource(url, size) if has_scheme(url) else LocalSource(url)
    lowered = url.lower()
    if lowered.endswith(".zip"):
        return ZipArchive(source)
    return TarArchive(source) if lowered.endswith(".tar") else GzippedTarArchive(source)
