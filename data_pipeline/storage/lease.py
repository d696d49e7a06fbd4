"""One writer a folder: whoever writes to it holds a lease that lies in it, locally or in a bucket.

    look -> nobody, or somebody who has died -> create ``.lease-N.json``, if nobody else has -> hold it -> remove it
                `-> somebody who is there: refused

Each holder's file has the next number, and the highest one counts. A file is created only where there is none (a hard
link locally, ``If-None-Match: *`` on s3), so that of two who come at once one gets it. While it is held its file
changes every few seconds. A holder on this machine has died when its process has ended; one elsewhere when its file
stays the same for a minute, as whoever waits sees by its own clock: clocks of machines are never compared.
"""

import json
import logging
import os
import re
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import psutil

from data_pipeline.errors import BaserewardError, MissingInput, UserError
from data_pipeline.storage.files import read_bytes
from data_pipeline.storage.listing import list_files
from data_pipeline.storage.paths import escaped, join, name_of, parent_of
from data_pipeline.storage.writing import LEASE, create_only, delete_file, write_atomic
from data_pipeline.watcher import watching

__all__ = ["Timing", "held"]

logger = logging.getLogger(__name__)

_NUMBER = re.compile(re.escape(LEASE) + r"(\d+)\.json$")


@dataclass(frozen=True, kw_only=True)
class Timing:
    """How often a holder shows that it is there, and when it counts as dead, in seconds."""

    beat_s: float = 10.0
    dead_s: float = 60.0
    """Several beats: a store may not answer for a while."""


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who writes to a folder: the content of a lease's file."""

    token: str
    """Of one holding; nobody else has it."""
    doing: str
    """The command."""
    host: str
    machine: str
    """What tells this machine, since its start, and its numbering of processes from others."""
    pid: int
    began_s: float
    """When the process began: numbers of processes are used again."""
    since: str
    beat: int = 0

    @classmethod
    def here(cls, doing: str) -> "Holder":
        """The holder that this process is."""
        return cls(
            token=secrets.token_hex(16),
            doing=doing,
            host=socket.gethostname(),
            machine=_machine(),
            pid=os.getpid(),
            began_s=psutil.Process().create_time(),
            since=datetime.now(UTC).isoformat(sep=" ", timespec="seconds"),
        )

    def to_bytes(self) -> bytes:
        return (json.dumps(asdict(self), indent=1) + "\n").encode()

    def has_ended(self) -> bool:
        """Whether the process is gone; it must be one of this machine."""
        try:
            process = psutil.Process(self.pid)
            return bool(process.status() == psutil.STATUS_ZOMBIE or abs(process.create_time() - self.began_s) > 1)
        except psutil.NoSuchProcess:
            return True


@dataclass(frozen=True)
class _Seen:
    """A lease's file as it was found; `data` is None where it was gone when it was read."""

    number: int
    data: bytes | None

    @property
    def holder(self) -> Holder | None:
        """Who wrote it; None where it cannot be read."""
        try:
            return None if self.data is None else Holder(**json.loads(self.data))
        except (ValueError, TypeError):
            return None


@contextmanager
def held(
    place: str,
    doing: str,
    *,
    file: bool = False,
    on_lost: Callable[[str], None] | None = None,
    timing: Timing | None = None,
) -> Iterator[None]:
    """In the block, nobody else holds `place`.

    Args:
        place: the folder that is written, local or in an object store; it is made where it is not there.
        doing: the command, for whoever finds the lease.
        file: `place` is a file; the lease then lies beside it.
        on_lost: is told, from a thread, that somebody else holds it now, as after a suspension of this machine; None:
            the process gets SIGTERM, before it overwrites what another one writes.

    Raises:
        UserError: somebody else holds it; says who.
        MissingInput: the store may not be written.
    """
    prefix = join(parent_of(place), f".{name_of(place)}") if file else f"{place.rstrip('/')}/"
    lease = _Lease(place, prefix, Holder.here(doing), timing or Timing())
    lease.take()

    def keep() -> bool:
        is_lost = not lease.beat()
        if is_lost:
            (on_lost or _end_process)(f"{place} was taken over by another process: this one has to end")
        return is_lost

    try:
        with watching(keep, every_s=lease.timing.beat_s, name="lease"):
            yield
    finally:
        lease.release()


class _Lease:
    """The lease of one place, as one process sees it."""

    def __init__(self, place: str, prefix: str, mine: Holder, timing: Timing) -> None:
        self.timing = timing
        self._place = place
        self._prefix = prefix
        self._mine = mine
        self._number = 0

    def take(self) -> None:
        """Become the holder.

        Raises:
            UserError: somebody else is.
        """
        while True:
            newest = self._newest()
            if newest is not None and not self._has_died(newest):
                raise UserError(self._who(newest.holder))
            self._number = 1 if newest is None else newest.number + 1
            created = create_only(self._url(self._number), self._mine.to_bytes())
            # A request of ours may have been done though its answer was lost, and a higher number counts more.
            if self._is_mine():
                break
            if created:
                delete_file(self._url(self._number))
        if newest is not None:
            logger.warning("%s: taken over from a holder that has died (%s)", self._place, newest.holder)
        for number in self._numbers():
            if number < self._number:
                delete_file(self._url(number))

    def beat(self) -> bool:
        """Show that the holder is there; returns whether it still is the holder."""
        try:
            if not self._is_mine():
                return False
            self._mine = replace(self._mine, beat=self._mine.beat + 1)
            write_atomic(self._url(self._number), self._mine.to_bytes())
        except (BaserewardError, OSError) as error:  # while the store does not answer nobody else can take it either
            logger.warning("lease of %s: %s", self._place, error)
        return True

    def release(self) -> None:
        """Remove the file, if it is still ours."""
        try:
            if self._is_mine():
                delete_file(self._url(self._number))
        except (BaserewardError, OSError) as error:
            logger.warning("lease of %s was not given back: %s; it ends with this process", self._place, error)

    def _is_mine(self) -> bool:
        newest = self._newest()
        holder = None if newest is None else newest.holder
        return holder is not None and holder.token == self._mine.token

    def _has_died(self, seen: _Seen) -> bool:
        """Whether its holder is gone; one on another machine is watched until its file changes, or long enough."""
        holder = seen.holder
        if holder is not None and holder.machine == self._mine.machine:
            return holder.has_ended()
        logger.warning(
            "%s was written from another machine; watching for up to %.0f s whether it still is", self._place,
            self.timing.dead_s,
        )  # fmt: skip
        until = time.monotonic() + self.timing.dead_s
        while time.monotonic() < until:
            time.sleep(self.timing.beat_s / 4)
            now = self._newest()
            if now is None or now.data is None:
                return True  # given back
            if now != seen:
                return False
        return True

    def _newest(self) -> _Seen | None:
        numbers = self._numbers()
        if not numbers:
            return None
        try:
            return _Seen(numbers[-1], read_bytes(self._url(numbers[-1])))
        except MissingInput:
            return _Seen(numbers[-1], None)

    def _numbers(self) -> list[int]:
        found = (_NUMBER.search(url) for url in list_files(f"{escaped(self._prefix)}{LEASE}*.json"))
        return sorted(int(match[1]) for match in found if match)

    def _url(self, number: int) -> str:
        return f"{self._prefix}{LEASE}{number}.json"

    def _who(self, holder: Holder | None) -> str:
        who = "another process" if holder is None else (
            f"`basereward {holder.doing}` on {holder.host} (process {holder.pid}, since {holder.since} UTC)"
        )  # fmt: skip
        return (
            f"{self._place} is in use by {who}: wait until it has ended, or stop it, or name another folder; if its "
            f"machine was lost, the same command takes over after {self.timing.dead_s:.0f} s"
        )


def _machine() -> str:
    """The start of this machine, and the numbering of processes: containers have their own."""
    try:
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()} {os.readlink('/proc/self/ns/pid')}"
    except OSError:  # not Linux
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"


def _end_process(message: str) -> None:
    logger.error("%s", message)
    os.kill(os.getpid(), signal.SIGTERM)
