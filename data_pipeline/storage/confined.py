"""Paths that data gives (a record, an index file of a set) stay below their root: the one function that checks it.

A path is taken by letter: nothing is decoded, expanded or corrected. Below a local root links are resolved first and
the result must still lie below it. Sets are published with their folders packed: where there is no folder ``short`` and
a ``short.zip`` or ``short.tar``, ``short/1.jpg`` leads in there, to its ``short/1.jpg`` or its ``1.jpg``.
"""

import os
from functools import lru_cache

from data_pipeline.errors import AccessDenied, RecordError, Unavailable
from data_pipeline.storage.archives import is_archive
from data_pipeline.storage.files import exists, is_local
from data_pipeline.storage.paths import has_scheme, join

__all__ = ["is_folder", "shown", "url_below"]

_SHOWN_CHARS = 200
_PACKED = (".zip", ".tar")  # of a .tar.gz every read would unpack all that stands before


def url_below(path: str, root: str) -> str:
    """Where `path` lies below `root`; below a local root with all links resolved. It need not be there.

    Raises:
        RecordError: remote_media, unsafe_path.
    """
    scheme, mark, _ = path.partition("://")
    if mark:
        reason = "unsafe_path" if scheme.lower() == "file" else "remote_media"
        raise RecordError(reason, f"{shown(path)}: only paths below the media root are read")
    names = path.replace("\\", "/").split("/")
    if names[0] == "" or names[0].endswith(":") or ".." in names:
        raise RecordError("unsafe_path", f"{shown(path)}: absolute, or with '..'")
    if "\0" in path or not _is_text(path):
        raise RecordError("unsafe_path", f"{shown(path)}: no valid file name")
    if not is_folder(root):
        if "::" in path:  # fsspec reads it as a chain of file systems
            raise RecordError("unsafe_path", f"{shown(path)}: '::' in a path below {root!r}")
        return _below(path, root)
    real_root, real = os.path.realpath(root), os.path.realpath(_below(path, root))
    if os.path.commonpath([real_root, real]) != real_root:
        raise RecordError("unsafe_path", f"{shown(path)} leads out of the media root through a link")
    return real


def _below(path: str, root: str) -> str:
    """`path` joined to `root`, its first folder as it is or in an archive of that name beside."""
    folder, _, rest = path.partition("/")
    if not rest:
        return join(root, path)
    find = _packed_remotely if has_scheme(root) else _packed
    try:
        return f"{find(root, folder)}/{rest}"
    except (AccessDenied, Unavailable):  # whoever reads there is told
        return join(root, path)


def _packed(root: str, folder: str) -> str:
    """Where the folder of `root` is: in its place, or in an archive beside, which may hold it once more."""
    place = join(root, folder)
    if exists(place):
        return place
    archive = next(filter(is_archive, (f"{place}{end}" for end in _PACKED)), None)
    if archive is None:
        return place
    return join(archive, folder) if exists(join(archive, folder)) else archive


_packed_remotely = lru_cache(maxsize=1024)(_packed)  # each look is a request, and records name a folder many times


def is_folder(root: str) -> bool:
    """Whether `root` can have links in it: neither remote nor an archive, nor in one."""
    return is_local(root) and not is_archive(root)


def shown(path: str) -> str:
    """`path` for a message, quoted and cut to 200 characters."""
    return repr(path[:_SHOWN_CHARS])


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
