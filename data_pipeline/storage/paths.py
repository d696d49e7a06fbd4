"""Paths as text: joining them, taking them apart, and seeing where one leads into an archive. Nothing is opened."""

import glob
import os
import posixpath
from collections.abc import Sequence
from fnmatch import fnmatchcase

__all__ = [
    "ARCHIVE_SUFFIXES",
    "absolute",
    "archive_prefixes",
    "escaped",
    "has_archive_name",
    "has_scheme",
    "join",
    "matches",
    "name_of",
    "parent_of",
]

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


def has_scheme(url: str) -> bool:
    """Whether `url` is an address such as ``s3://bucket/key``, and not a path of this machine."""
    return "://" in url


def join(base: str, *parts: str) -> str:
    """`base` and `parts` as one path; an absolute part, or one with a scheme, replaces what stands before it.

    >>> join("s3://bucket/data", "a.jsonl"), join("data", "s3://bucket/a.jsonl"), join("", "a.jsonl")
    ('s3://bucket/data/a.jsonl', 's3://bucket/a.jsonl', 'a.jsonl')
    """
    path = base
    for part in parts:
        path = part if has_scheme(part) else posixpath.join(path, part)
    return path


def escaped(url: str) -> str:
    """`url` as the beginning of a glob, its own ``*``, ``?`` and ``[`` taken as letters: what people name a folder.

    >>> join(escaped("runs/lr[1]"), "*.json")
    'runs/lr[[]1]/*.json'
    """
    return glob.escape(url)


def absolute(url: str) -> str:
    """`url` for a process that runs in another folder: local paths made absolute, others as they are."""
    return url if has_scheme(url) else os.path.abspath(url)


def parent_of(url: str) -> str:
    """The folder that holds `url`: "data/a.jsonl" -> "data", "a.jsonl" -> "."."""
    return posixpath.dirname(url) or "."


def name_of(url: str) -> str:
    """The last part of `url`: "data/a.jsonl" -> "a.jsonl"."""
    return posixpath.basename(url)


def has_archive_name(url: str) -> bool:
    """Whether the last part of `url` ends as an archive's name does, in small or capital letters."""
    return url.lower().endswith(ARCHIVE_SUFFIXES)


def archive_prefixes(url: str) -> list[tuple[str, str]]:
    """Every way to read `url` as (archive, path inside it), by the names of its parts alone.

    >>> archive_prefixes("data/images.zip/a/b.jpg")
    [('data/images.zip', 'a/b.jpg')]
    """
    lowered = url.lower()
    if not any(f"{suffix}/" in lowered for suffix in ARCHIVE_SUFFIXES):
        return []
    parts = url.split("/")
    return [
        ("/".join(parts[:end]), "/".join(parts[end:]))
        for end in range(1, len(parts))
        if has_archive_name(parts[end - 1])
    ]


def matches(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a glob names a path, both part by part.

    Like the shell's, a pattern passes over names that begin with a dot unless it begins with one.

    >>> matches(["a", "b", "c.json"], ["a", "**", "*.json"]), matches([".hidden"], ["*"])
    (True, False)
    """
    if not pattern:
        return not parts
    if pattern[0] == "**":
        if len(pattern) == 1:
            return bool(parts) and not any(part.startswith(".") for part in parts)
        shown = next((i for i, part in enumerate(parts) if part.startswith(".")), len(parts))
        return any(matches(parts[i:], pattern[1:]) for i in range(shown + 1))
    if not parts or (parts[0].startswith(".") and not pattern[0].startswith(".")):
        return False
    return fnmatchcase(parts[0], pattern[0]) and matches(parts[1:], pattern[1:])
