"""Files under a temporary name, which are renamed when they are whole, and what killed writers left of them.

A draft's name says who writes it, so that the next run can tell one that is left from one that is being written:
``.NAME.HOST-PID-TOKEN.draft``, where HOST is a hash of the machine, its boot and its process namespace.
"""

import hashlib
import os
import re
import secrets
import socket
import time
from functools import cache
from pathlib import Path

from data_pipeline.storage.files import is_local
from data_pipeline.storage.paths import name_of, parent_of

__all__ = ["draft_beside", "remove_drafts"]

_DRAFT = re.compile(r"\..+\.(?P<host>[0-9a-f]{12})-(?P<pid>\d+)-[0-9a-f]{12}\.draft")
_STALE_S = 86400.0
"""A draft of another host is taken for left after so long: nobody here can ask for its writer."""


def draft_beside(url: str) -> str:
    """A new local path in the folder of `url`, for this process to write and to rename."""
    name = f".{name_of(url)}.{_host()}-{os.getpid()}-{secrets.token_hex(6)}.draft"
    return os.path.join(parent_of(url), name)


def remove_drafts(folder: str) -> int:
    """Delete what killed writers left in a local folder and below it; returns how many files that were.

    Drafts of processes that live are kept. An object store has none: an object appears when its upload is complete.
    """
    if not is_local(folder):
        return 0
    removed = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            found = _DRAFT.fullmatch(name)
            if found is not None and _is_left(Path(parent, name), found["host"], int(found["pid"])):
                Path(parent, name).unlink(missing_ok=True)
                removed += 1
    return removed


def _is_left(path: Path, host: str, pid: int) -> bool:
    if host == _host():
        return not _is_alive(pid)
    try:
        return time.time() - path.stat().st_mtime > _STALE_S
    except FileNotFoundError:  # it has just been renamed
        return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


@cache
def _host() -> str:
    """12 hexadecimal digits: equal for two processes where each sees the other's process id."""
    said = [socket.gethostname()]
    for place in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):  # Linux has both
        if os.path.exists(place):
            said.append(os.readlink(place) if os.path.islink(place) else Path(place).read_text(encoding="utf8"))
    return hashlib.sha256("\n".join(said).encode()).hexdigest()[:12]
