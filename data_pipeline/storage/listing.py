"""Listing files, wherever they lie: on this machine, remote, or in an archive on either.

Remote folders are listed here, folder by folder, and not by fsspec's own ``glob``: that one leaves out folders whose
listing failed, and fails where a folder is deleted between two of its looks.
"""

import glob
import os
import posixpath
import re
from typing import Any

from data_pipeline.storage.archives import Inside, locate
from data_pipeline.storage.files import read_each
from data_pipeline.storage.paths import archive_prefixes, has_scheme, matches, name_of
from data_pipeline.storage.remote import filesystem_of, identity_of, remote_call

__all__ = ["list_files", "list_folders"]

_GLOB = re.compile(r"[*?\[]")
_LETTER = re.compile(r"\[([*?\[])\]")  # as `escaped` writes one


def list_files(url_glob: str) -> list[str]:
    """The files that `url_glob` names, sorted; empty where none does.

    A file stands for itself (also with ``*`` or ``[`` in its name), a folder for the files directly in it, anything
    else is a glob in which ``**`` crosses folders. That holds in an archive too, and the archive's own name may be a
    glob: ``parts/*.zip/**/*.jsonl``. Local results stay relative where `url_glob` is. A file that is deleted meanwhile
    is listed or is not.

    Raises:
        Unavailable: a remote folder can't be listed now: nothing is left out.
    """
    if inside := locate(url_glob):
        return _list_inside(inside)
    found = _list_remote(url_glob) if has_scheme(url_glob) else _list_local(url_glob)
    for archives, path in archive_prefixes(url_glob):
        if not found and _GLOB.search(archives):
            found = [url for archive in list_files(archives) for url in list_files(f"{archive}/{path}")]
    return sorted(set(found))  # a glob with two ** finds files twice


def list_folders(url: str) -> list[str]:
    """The folders directly in the folder `url`, sorted; empty where it is none."""
    if not has_scheme(url):
        return sorted(entry.path for entry in os.scandir(url) if entry.is_dir()) if os.path.isdir(url) else []
    return sorted(one for one, is_file in _entries(url) if not is_file)


def _list_inside(inside: Inside) -> list[str]:
    return sorted(f"{inside.url}/{path}" for path in inside.archive.matching(inside.path))


def _list_local(path: str) -> list[str]:
    if os.path.isfile(path):
        return [path]
    pattern = posixpath.join(glob.escape(path), "*") if os.path.isdir(path) else path
    return [found for found in glob.glob(pattern, recursive=True) if os.path.isfile(found)]


def _list_remote(url: str) -> list[str]:
    if identity_of(url) is not None:
        return [url]
    if entries := _entries(url):
        return [one for one, is_file in entries if is_file and matches([name_of(one)], ["*"])]
    return _matching(url) if _GLOB.search(url) else []


def _matching(url_glob: str) -> list[str]:
    """The remote files that a glob names: one level of folders after the other, or all below where it says ``**``."""
    scheme, _, path = url_glob.partition("://")
    parts = path.rstrip("/").split("/")
    folders = [f"{scheme}:/"]
    for index, part in enumerate(parts):
        name, is_last = _literal(part), index == len(parts) - 1
        if part == "**":
            return [one for folder in folders for one in _all_below(folder, parts[index:])]
        if name is None:
            entries = [entry for found in read_each(_entries, folders) for entry in found]
            folders = [one for one, is_file in entries if is_file == is_last and matches([name_of(one)], [part])]
        else:
            folders = [f"{folder}/{name}" for folder in folders]
    if name is None:
        return folders
    return [one for one, found in zip(folders, read_each(identity_of, folders), strict=True) if found is not None]


def _literal(part: str) -> str | None:
    """The one name that a part of a glob stands for; None: it is a pattern."""
    return None if _GLOB.search(_LETTER.sub("", part)) else _LETTER.sub(r"\1", part)


def _entries(folder: str) -> list[tuple[str, bool]]:
    """What lies directly in a remote folder, and whether it is a file; empty where there is no such folder."""
    filesystem, path = filesystem_of(folder)

    def look() -> list[dict[str, Any]]:
        try:
            return list(filesystem.ls(path, detail=True))
        except (FileNotFoundError, NotADirectoryError):
            return []

    found = [(str(one["name"]).rstrip("/"), one["type"] == "file") for one in remote_call(folder, look)]
    # A store may list the folder itself, as an empty object that holds its place.
    return [(str(filesystem.unstrip_protocol(one)), is_file) for one, is_file in found if one != path.rstrip("/")]


def _all_below(folder: str, pattern: list[str]) -> list[str]:
    """The files below a remote folder whose path from there a glob names."""
    filesystem, path = filesystem_of(folder)
    start = len(path.rstrip("/")) + 1
    found = remote_call(folder, lambda: filesystem.find(path, detail=True))
    names = [name for name, info in found.items() if info.get("type") == "file" and not name.endswith("/")]
    return [str(filesystem.unstrip_protocol(name)) for name in names if matches(name[start:].split("/"), pattern)]
