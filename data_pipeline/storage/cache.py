"""Local copies of remote shards in a folder of bounded size that many processes and threads of a machine share.

    cache = ShardCache("/scratch/shards", limit_bytes=200 * 2**30)
    cache.prefetch(next_url, next_size, next_sha256)
    table = pa.memory_map(cache.path(url, size, sha256))

A copy is named by its sha256, so a folder may serve many runs. Copies are downloaded under a temporary name that
already takes its place on the disk, checked, and renamed. Locks are `flock`s on files of the folder: the folder must
lie on one machine, and a killed process leaves no lock behind.

The caches of fsspec are not used: they have no limit of bytes and check no sha256.
"""

import fcntl
import hashlib
import logging
import os
import queue
import secrets
import stat
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from data_pipeline.errors import BaserewardError, CorruptData, RecipeError
from data_pipeline.storage.files import open_input
from data_pipeline.storage.paths import has_scheme
from data_pipeline.storage.writing import disk_room

__all__ = ["CACHE_ENV", "ShardCache", "cache_folder", "private_folder"]

logger = logging.getLogger(__name__)

CACHE_ENV = "BASEREWARD_CACHE_DIR"
"""Folders on fast disks, joined by ":"; copies lie in the first that a node has, if a recipe names no local folder."""

_CHUNK_BYTES = 1 << 20
_PREFETCH_THREADS = 2
_MAX_WAITING = 16
_ROOM_POLL_S = 0.05
_PART = ".part"

_Shard = tuple[str, int, str]  # url, bytes, sha256


def cache_folder(configured: str) -> str:
    """The folder for copies on this machine: `configured`, unless that is in an object store, as the default is where a
    whole run is; then the one that `CACHE_ENV` names, or one in the folder for temporary files.
    """
    if not has_scheme(configured):
        return configured
    for named in filter(None, os.environ.get(CACHE_ENV, "").split(os.pathsep)):
        if os.access(named, os.W_OK):
            return named
    return private_folder("cache")


def private_folder(name: str) -> str:
    """A folder of this user alone below the folder for temporary files, where everybody may write.

    Raises:
        RecipeError: somebody else made it, or may write there: what lies in it could be anybody's.
    """
    path = os.path.join(tempfile.gettempdir(), f"basereward-{name}-{os.getuid()}")
    with suppress(FileExistsError):
        os.mkdir(path, mode=0o700)
    found = os.lstat(path)  # a link of somebody else's may point to a folder of ours
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise RecipeError(
            f"{path!r} is not a folder of user {os.getuid()} alone (owner {found.st_uid}, mode "
            f"{stat.S_IMODE(found.st_mode):03o}): name another folder with TMPDIR"
        )
    return path


class ShardCache:
    """Verified local copies of remote files, the least recently used ones deleted to stay below a limit.

    Args:
        folder: where copies lie; it is made, and holds no other files.
        limit_bytes: bytes that all copies may take together, unfinished ones included.
    """

    def __init__(self, folder: str, limit_bytes: int) -> None:
        self._folder = Path(folder)
        self._limit = limit_bytes
        self._checked: dict[str, tuple[int, int, int]] = {}
        self._guard = threading.Lock()
        self._queue: queue.SimpleQueue[_Shard | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._waiting: set[str] = set()
        self._pid = os.getpid()
        (self._folder / "locks").mkdir(parents=True, exist_ok=True)

    def path(self, url: str, size: int, sha256: str) -> str:
        """The path of a verified local copy of `url`; open it at once, since later calls may delete it.

        A file that is open or memory-mapped stays readable when it is deleted. `open` returns the file already open.

        Args:
            url: the remote file.
            size: its bytes.
            sha256: its hex digest, by which a copy is found and checked: once a process, and again when it changed.

        Raises:
            RecipeError: it alone is larger than the limit.
            CorruptData: the remote bytes are not those of `size` and `sha256`.
            MissingInput: there is no such file.
            RunError: the disk is full, or the remote store kept failing.
        """
        if size > self._limit:
            raise RecipeError(
                f"{url!r} has {size:,} bytes, more than the cache's limit of {self._limit:,}; raise the limit,"
                " or write smaller shards (preprocess.shard_bytes)"
            )
        copy = self._folder / sha256
        if self._is_good(copy, size, sha256):
            return str(copy)
        with self._locked(f"copy-{sha256[:2]}"):  # one download of many callers; 256 locks are enough
            if not self._is_good(copy, size, sha256):
                self._download(url, size, sha256)
        return str(copy)

    def open(self, url: str, size: int, sha256: str) -> BinaryIO:
        """The verified local copy, opened for reading; arguments and errors as for `path`."""
        while True:
            path = self.path(url, size, sha256)
            try:
                return open(path, "rb")
            except FileNotFoundError:
                logger.debug("%s was deleted by another process before it was opened", path)

    def prefetch(self, url: str, size: int, sha256: str) -> None:
        """Start to download `url` in the background, unless many downloads wait already.

        A failure is logged, and raised where `path` meets it again.
        """
        if self._pid != os.getpid():
            self._forget_threads()
        with self._guard:
            if sha256 in self._waiting or len(self._waiting) >= _MAX_WAITING:
                return
            self._waiting.add(sha256)
            self._queue.put((url, size, sha256))
            if len(self._threads) < _PREFETCH_THREADS:
                # Daemons, so that no process waits at its end for copies that it will not use.
                self._threads.append(threading.Thread(target=self._work, args=(self._queue,), daemon=True))
                self._threads[-1].start()

    def close(self) -> None:
        """End the background downloads: waiting ones are dropped, the running ones completed."""
        if self._pid != os.getpid():
            return
        with self._guard:
            threads, self._threads = self._threads, []
            with suppress(queue.Empty):
                while (dropped := self._queue.get_nowait()) is not None:
                    self._waiting.discard(dropped[2])
            for _ in threads:
                self._queue.put(None)
        for thread in threads:
            thread.join()

    def _forget_threads(self) -> None:
        """In a forked process the threads of the first one are not there."""
        self._guard = threading.Lock()
        self._queue = queue.SimpleQueue()
        self._threads = []
        self._waiting = set()
        self._pid = os.getpid()

    def __getstate__(self) -> tuple[str, int]:
        return str(self._folder), self._limit

    def __setstate__(self, state: tuple[str, int]) -> None:
        self.__init__(*state)  # type: ignore[misc]

    def _work(self, wanted: "queue.SimpleQueue[_Shard | None]") -> None:
        """Download what is wanted until None is."""
        while (shard := wanted.get()) is not None:
            try:
                self.path(*shard)
            except (BaserewardError, OSError) as error:
                logger.warning("cannot prefetch %s: %s", shard[0], error)
            finally:
                with self._guard:
                    self._waiting.discard(shard[2])

    def _is_good(self, copy: Path, size: int, sha256: str) -> bool:
        """Whether `copy` is there and whole; it then counts as just used."""
        try:
            with open(copy, "rb") as file:
                status = os.fstat(file.fileno())
                state = (status.st_ino, status.st_size, status.st_mtime_ns)
                if self._checked.get(sha256) != state:
                    if status.st_size != size or hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                        logger.warning("the copy %s is damaged; downloading it again", copy)
                        return False
                    self._checked[sha256] = state
                # The time of access orders the copies; that of change stays, to show when somebody changed one.
                os.utime(copy, ns=(time.time_ns(), status.st_mtime_ns))
        except FileNotFoundError:
            return False
        return True

    def _download(self, url: str, size: int, sha256: str) -> None:
        part = self._folder / f".{sha256}.{secrets.token_hex(8)}{_PART}"
        try:
            with disk_room(str(part), size), self._reserved(part, size) as file:
                found = _copy(url, file, size)
                if found != (size, sha256):
                    raise CorruptData(
                        f"{url!r} has {found[0]:,} bytes and sha256 {found[1]}, but its manifest says {size:,} and"
                        f" {sha256}; write it again"
                    )
                status = os.fstat(file.fileno())
                with self._locked("folder"):  # so that who counts bytes sees it once
                    os.replace(part, self._folder / sha256)
                self._checked[sha256] = (status.st_ino, status.st_size, status.st_mtime_ns)
        finally:
            part.unlink(missing_ok=True)

    @contextmanager
    def _reserved(self, part: Path, size: int) -> Iterator[BinaryIO]:
        """`part` opened for writing, its bytes taken from the disk and from the limit, marked as under way."""
        while True:
            with self._locked("folder"):
                if self._make_room(size, keep=part.name[1:65]):
                    file = open(part, "wb")  # noqa: SIM115 (it outlives this block)
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX)
                        if size:
                            os.posix_fallocate(file.fileno(), 0, size)
                    except BaseException:
                        file.close()
                        raise
                    break
            time.sleep(_ROOM_POLL_S)  # the room is taken by downloads under way, which end and can then be deleted
        with file:
            yield file

    def _make_room(self, size: int, keep: str) -> bool:
        """Delete the copies used longest ago until `size` bytes more fit; false where that is not enough."""
        entries = []
        total = size
        for entry in os.scandir(self._folder):
            if not entry.is_file() or (entry.name.endswith(_PART) and _delete_abandoned(entry.path)):
                continue
            status = entry.stat()
            total += status.st_size
            if entry.name != keep and not entry.name.endswith(_PART):
                entries.append((status.st_atime_ns, entry.path, status.st_size))
            elif entry.name == keep:
                total -= status.st_size  # a damaged copy, which the new one replaces
        for _, path, num_bytes in sorted(entries):
            if total <= self._limit:
                break
            os.unlink(path)
            total -= num_bytes
        return total <= self._limit

    @contextmanager
    def _locked(self, name: str) -> Iterator[None]:
        with open(self._folder / "locks" / name, "wb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _copy(url: str, file: BinaryIO, size: int) -> tuple[int, str]:
    """Copy `url` into `file`, at most one chunk beyond `size`; the number of bytes and their sha256."""
    digest, total = hashlib.sha256(), 0
    with open_input(url) as source:
        while total <= size and (chunk := source.read(_CHUNK_BYTES)):
            digest.update(chunk)
            total += len(chunk)
            if total <= size:
                file.write(chunk)
    file.flush()
    return total, digest.hexdigest()


def _delete_abandoned(part: str) -> bool:
    """Delete the unfinished copy `part` where the process that wrote it is gone; false where it is under way."""
    try:
        with open(part, "rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.unlink(part)
    except BlockingIOError:
        return False
    except FileNotFoundError:
        return True  # renamed or deleted since it was listed
    return True
