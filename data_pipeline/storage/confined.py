"""Paths that data gives (a record, an index file of a set) stay below their root: the one function that checks it.

A path is taken by letter: nothing is decoded, expanded or corrected. Below a local root links are resolved first and
the result must still lie below it.
"""

import os

from data_pipeline.errors import RecordError
from data_pipeline.storage.archives import is_archive
from data_pipeline.storage.files import is_local
from data_pipeline.storage.paths import join

__all__ = ["is_folder", "shown", "url_below"]

_SHOWN_CHARS = 200


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
    url = join(root, path)
    if not is_folder(root):
        if "::" in path:  # fsspec reads it as a chain of file systems
            raise RecordError("unsafe_path", f"{shown(path)}: '::' in a path below {root!r}")
        return url
    real_root, real = os.path.realpath(root), os.path.realpath(url)
    if os.path.commonpath([real_root, real]) != real_root:
        raise RecordError("unsafe_path", f"{shown(path)} leads out of the media root through a link")
    return real


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
