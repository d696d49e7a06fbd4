"""What every kind of archive here has: an index of its files by name, and a digest of that index."""

import hashlib
import io
import posixpath
import struct
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from data_pipeline.errors import MissingInput
from data_pipeline.storage.paths import matches

__all__ = ["BROKEN_INDEX", "Archive", "Member", "clean_name"]

# What zipfile, tarfile and gzip raise, beside errors of their own, on an index that breaks off or lies about its
# structure: a changed byte makes a name empty, a number no number, or headers that stand in each other. OSError is not
# among them: that is the disk's.
BROKEN_INDEX = (zlib.error, struct.error, EOFError, LookupError, ValueError, ArithmeticError, RuntimeError)


class Member(NamedTuple):
    """One file of an archive; `offset` and `packed` (bytes) say where, the rest says how it is stored."""

    size: int
    offset: int
    packed: int
    mark: int
    """CRC-32 of a zip's member, time of change of a tar's: part of the archive's identity."""
    method: int = 0
    encrypted: bool = False


class Archive(ABC):
    """An open archive. Members are found by exact name in its own index, and nothing is ever unpacked to disk.

    Links, devices, absolute names and names with ``..`` are not in the index. Of two members with one name the later
    counts, as when the archive is unpacked.
    """

    name: str
    members: dict[str, Member]

    @abstractmethod
    def open(self, path: str) -> io.BufferedReader:
        """The member `path` for reading; seeking back in a compressed member starts it anew."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """All bytes of the member `path`, which are exactly as many as its size says."""

    def packed_bytes(self, path: str) -> int:
        """Bytes of the archive that are read for the member `path`."""
        return self.member(path).packed

    def is_seekable(self, path: str) -> bool:
        """Whether jumping about in the member `path` is cheap: where it is not compressed."""
        return self.member(path).method == 0

    @cached_property
    def folders(self) -> frozenset[str]:
        """Every folder that a member lies in; the archive itself is ``""``."""
        found = {""}
        for path in self.members:
            while path := posixpath.dirname(path):
                if path in found:
                    break
                found.add(path)
        return frozenset(found)

    @property
    def digest(self) -> str:
        """Hex sha256 over the sorted names, sizes, places and marks of all members."""
        digest = hashlib.sha256()
        for path, member in sorted(self.members.items()):
            digest.update(f"{path}\0{member.size}\0{member.offset}\0{member.mark}\n".encode("utf8", "surrogateescape"))
        return digest.hexdigest()

    def member(self, path: str) -> Member:
        """The member `path`.

        Raises:
            MissingInput: there is none, or it is encrypted.
        """
        member = self.members.get(path)
        if member is None:
            nested = "; an archive inside an archive is not read" if _archive_inside(path, self.members) else ""
            raise MissingInput(f"no file {path!r} in {self.name!r} ({len(self.members):,} files){nested}")
        if member.encrypted:
            raise MissingInput(f"{path!r} in {self.name!r} is encrypted; unpack it, and pack it without a password")
        return member

    def matching(self, pattern: str) -> list[str]:
        """Members that `pattern` names: a file, the files directly in a folder, or a glob (``**`` crosses folders)."""
        if pattern in self.members:
            return [pattern]
        parts = pattern.split("/")
        if pattern in self.folders:
            parts = [*parts, "*"] if pattern else ["*"]
            return [
                path
                for path in self.members
                if posixpath.dirname(path) == pattern and matches([posixpath.basename(path)], parts[-1:])
            ]
        return [path for path in self.members if matches(path.split("/"), parts)]


def clean_name(name: str) -> str | None:
    """`name` without ``.`` parts and doubled slashes; None where it is absolute, leaves the archive or is empty."""
    path = posixpath.normpath(name) if name else "."
    return None if path.startswith(("/", "../")) or path in (".", "..") else path


def _archive_inside(path: str, members: dict[str, Member]) -> bool:
    return any(parent in members for parent in _parents(path))


def _parents(path: str) -> Iterator[str]:
    while path := posixpath.dirname(path):
        yield path
