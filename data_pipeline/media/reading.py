"""References to bytes, and which references are followed at all: a record is not trusted to name files.

    MediaRef(data=...)              the bytes, bounded
    MediaRef(path="images/a.jpg")   a file below the media root: a folder, an s3 prefix or an archive
    MediaRef(path="https://...")    fetched only where the recipe allows the host

`storage.url_below` keeps paths below their root. In an archive a member is looked up by its exact name in the archive's
own index; reading one never yields more bytes than the index says.
"""

import errno
import os
import stat

from data_pipeline import storage
from data_pipeline.config import MediaConfig
from data_pipeline.errors import CorruptData, MissingInput, RecordError
from data_pipeline.records.comparison import MediaRef
from data_pipeline.storage.confined import shown

__all__ = ["read_media"]

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP, errno.EACCES}


def read_media(ref: MediaRef, root: str, config: MediaConfig) -> bytes:
    """The bytes that `ref` stands for, at least 1 and at most `config.max_source_bytes`.

    Args:
        ref: bytes, or a path below `root`; bytes win.
        root: the source's media root: a folder, an ``s3://`` prefix, or an archive.

    Raises:
        RecordError: missing_media, unsafe_path, remote_media, media_too_large, broken_image (an empty file, or an
            archive member that does not unpack).
    """
    limit = config.max_source_bytes
    if ref.data is not None:
        return _bounded(ref.data, limit)
    if not ref.path:
        raise RecordError("missing_media", "the record names no file and brings no bytes")
    if "://" in ref.path:
        return _bounded(_fetched(ref.path, config), limit)
    url = storage.url_below(ref.path, root)
    if ref.path.endswith("/"):
        raise RecordError("missing_media", f"{shown(ref.path)} is the name of a folder")
    if storage.is_local(url):
        _check_regular(url, ref.path)
    try:
        _check_size(storage.size_of(url), limit)
        return _bounded(storage.read_bytes(url), limit)
    except (MissingInput, PermissionError) as error:
        raise RecordError("missing_media", f"{shown(ref.path)} below the media root: {error}") from error
    except CorruptData as error:
        raise RecordError("broken_image", f"{shown(ref.path)}: {error}") from error


def _fetched(url: str, config: MediaConfig) -> bytes:
    scheme = url.partition("://")[0].lower()
    if scheme == "file":
        raise RecordError("unsafe_path", f"{shown(url)}: only paths below the media root are read")
    if scheme not in ("http", "https") or not config.allowed_hosts:
        raise RecordError("remote_media", f"{shown(url)}: media.allowed_hosts is {config.allowed_hosts}")
    return storage.fetch(
        url,
        allowed_hosts=config.allowed_hosts,
        max_bytes=config.max_source_bytes,
        timeout_s=config.fetch_timeout_s,
    )


def _check_regular(real: str, path: str) -> None:
    """Opening a FIFO or a device could block for ever, so look before opening."""
    try:
        mode = os.stat(real).st_mode
    except OSError as error:
        if error.errno not in _ABSENT:
            raise
        hint = "; it has backslashes, and names are taken by letter" if "\\" in path else ""
        detail = f"no file {shown(path)} below the media root: {error.strerror}{hint}"
        raise RecordError("missing_media", detail) from error
    if stat.S_ISDIR(mode):
        raise RecordError("missing_media", f"{shown(path)} is a folder")
    if not stat.S_ISREG(mode):
        raise RecordError("unsafe_path", f"{shown(path)} is no regular file ({stat.filemode(mode)})")


def _bounded(data: bytes, limit: int) -> bytes:
    _check_size(len(data), limit)
    return data


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RecordError("media_too_large", f"{size} bytes or more, limit max_source_bytes={limit}")
    if size == 0:
        raise RecordError("broken_image", "the file is empty")
