"""References to bytes, and which references are followed at all: a record is not trusted to name files.

    MediaRef(data=...)              the bytes, bounded
    MediaRef(path="images/a.jpg")   a file below the media root: a folder, an s3 prefix or an archive
    MediaRef(path="https://...")    fetched only where the recipe allows the host

`storage.url_below` keeps paths below their root. In an archive a member is looked up by its exact name in the archive's
own index; reading one never yields more bytes than the index says.

Decompression bombs stop here: before anything is decoded, `check_declared_size` asks how large a file says it will
become. A header may lie in several places, so each place that makes a decoder allocate or work is looked at:

    ICO         every embedded PNG or bitmap, which the directory can call 16 x 16
    TIFF        the tile size, which may exceed the picture
    JPEG 2000   the code stream's own size and tile size, beside the one of its container
    JPEG        the number of scans: a progressive file can ask for thousands of passes over the picture
    WEBP        the canvas of an animation, which is kept twice whatever its frames are; only the first is decoded

Pillow takes up to 13 bytes a pixel while it decodes (RGBA of a PNG, turned), and up to 24 for AVIF, JPEG 2000 and WEBP,
whose libraries hold whole pictures of their own: there a pixel counts twice, so that the default of
`max_source_pixels` is 1.3 GB for each format.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import PIL.Image
import PIL.ImageFile

from data_pipeline import storage
from data_pipeline.config import MediaConfig
from data_pipeline.errors import AccessDenied, CorruptData, MissingInput, RecordError, Unavailable
from data_pipeline.media.pixels import opened
from data_pipeline.records.comparison import MediaRef
from data_pipeline.storage.confined import shown

__all__ = ["MAX_MEDIA_BYTES", "as_configured", "bytes_of", "check_declared_size", "read_media"]

MAX_MEDIA_BYTES = 1 << 28
"""Bytes of the picture files that one record may have, and that are kept of earlier ones."""

_ABSENT = {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP}


def read_media(ref: MediaRef, root: str, config: MediaConfig) -> bytes:
    """The bytes that `ref` stands for: at least 1, at most `config.max_source_bytes`, of a video `max_video_bytes`.

    Args:
        ref: bytes, or a path below `root`; bytes win.
        root: the source's media root: a folder, an ``s3://`` prefix, or an archive.

    Raises:
        RecordError: missing_media, unsafe_path, remote_media, media_too_large, broken_image or broken_video (an empty
            file, or an archive member that does not unpack), unavailable_media (with `config.unavailable` ``refuse``).
        Unavailable: it may be there, and can't be had now; with `config.missing` ``fail`` also where it is not there.
    """
    with as_configured(ref, config):
        return bytes_of(ref, root, config)


@contextmanager
def as_configured(ref: MediaRef, config: MediaConfig) -> Iterator[None]:
    """In the block, media that are not there or can't be had refuse the record or fail the run, as `config` says.

    Raises:
        RecordError: ``unavailable_media``, or as the block raised it.
        Unavailable: the run fails.
    """
    try:
        yield
    except Unavailable as error:
        if config.unavailable == "fail":
            raise
        raise RecordError("unavailable_media", str(error)) from error
    except RecordError as error:
        if error.reason != "missing_media" or not ref.path or config.missing == "refuse":
            raise
        raise Unavailable(f"{error.detail} (media.missing is fail)") from error


def bytes_of(ref: MediaRef, root: str, config: MediaConfig) -> bytes:
    """As `read_media`, for a caller who reads the whole reference `as_configured`."""
    limit = _Limit.of(ref, config)
    if ref.data is not None:
        return limit.bounded(ref.data)
    if not ref.path:
        raise RecordError("missing_media", "the record names no file and brings no bytes")
    if "://" in ref.path:
        return limit.bounded(_fetched(ref.path, config))
    url = storage.url_below(ref.path, root)
    if ref.path.endswith("/"):
        raise RecordError("missing_media", f"{shown(ref.path)} is the name of a folder")
    if storage.is_local(url):
        _check_regular(url, ref.path)
    try:
        limit.check(storage.size_of(url))
        return limit.bounded(storage.read_bytes(url))
    except (AccessDenied, OSError) as error:
        raise Unavailable(f"{shown(ref.path)} below the media root: {error}") from error
    except MissingInput as error:
        raise RecordError("missing_media", f"{shown(ref.path)} below the media root: {error}") from error
    except CorruptData as error:
        raise RecordError(limit.broken, f"{shown(ref.path)}: {error}") from error


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
            raise Unavailable(f"{shown(path)} below the media root: {error.strerror}") from error
        hint = "; it has backslashes, and names are taken by letter" if "\\" in path else ""
        detail = f"no file {shown(path)} below the media root: {error.strerror}{hint}"
        raise RecordError("missing_media", detail) from error
    if stat.S_ISDIR(mode):
        raise RecordError("missing_media", f"{shown(path)} is a folder")
    if not stat.S_ISREG(mode):
        raise RecordError("unsafe_path", f"{shown(path)} is no regular file ({stat.filemode(mode)})")


@dataclass(frozen=True, slots=True)
class _Limit:
    """How large a file may be; `setting` says `most`, and one that is `broken` is refused for that reason."""

    setting: str
    most: int
    broken: str

    @classmethod
    def of(cls, ref: MediaRef, config: MediaConfig) -> "_Limit":
        if ref.is_video:
            return cls("max_video_bytes", config.max_video_bytes, "broken_video")
        return cls("max_source_bytes", config.max_source_bytes, "broken_image")

    def bounded(self, data: bytes) -> bytes:
        self.check(len(data))
        return data

    def check(self, size: int) -> None:
        if size > self.most:
            raise RecordError("media_too_large", f"{size} bytes or more, limit {self.setting}={self.most}")
        if size == 0:
            raise RecordError(self.broken, "the file is empty")


Size = tuple[int, int]

_ICON_MAGIC = b"\0\0\1\0"
_PNG_MAGIC = b"\x89PNG\r\n\x1a\n"
_CODESTREAM_MAGIC = b"\xff\x4f\xff\x51"  # start of code stream, then the SIZ marker
_COSTLY = ("AVIF", "JPEG2000", "WEBP")
_SCAN_MARKER = b"\xff\xda"  # cannot occur inside a scan's coded data
_MAX_SCANS = 100  # a progressive JPEG has about 10; an embedded thumbnail adds its own
_TIFF_HEIGHT, _TIFF_TILE_WIDTH, _TIFF_TILE_HEIGHT = 257, 322, 323  # tags


def check_declared_size(data: bytes, max_pixels: int) -> None:
    """Refuse what would decode to more than `max_pixels` pixels (AVIF, JPEG 2000, WEBP: half), or in over 100 passes.

    Raises:
        RecordError: ``"media_too_large"``; ``"broken_image"`` where the header cannot be read.
    """
    _check_sizes(_icon_sizes(data), max_pixels)  # before Pillow sees it: it decodes an icon while opening it
    with opened(data) as image:
        _check_sizes([image.size, *_hidden_sizes(image, data)], max_pixels, image.format)
        _check_strips(image)
        scans = data.count(_SCAN_MARKER) if image.format in ("JPEG", "MPO") else 0
    if scans > _MAX_SCANS:
        raise RecordError("media_too_large", f"a JPEG of {scans} scans, limit {_MAX_SCANS}")


def _check_sizes(sizes: list[Size], max_pixels: int, kind: str | None = None) -> None:
    is_costly = kind in _COSTLY
    counted = f", which count twice in {kind}" if is_costly else ""
    for width, height in sizes:
        if width * height * (1 + is_costly) > max_pixels:
            raise RecordError(
                "media_too_large",
                f"{width} x {height} = {width * height} pixels{counted}, limit max_source_pixels={max_pixels}",
            )


def _hidden_sizes(image: PIL.Image.Image, data: bytes) -> list[Size]:
    if image.format == "TIFF":
        tags = image.getexif()
        return [(int(tags.get(_TIFF_TILE_WIDTH, 0)), int(tags.get(_TIFF_TILE_HEIGHT, 0)))]
    if image.format == "JPEG2000":
        return _codestream_sizes(data)
    return []


def _check_strips(image: PIL.Image.Image) -> None:
    """Pillow leaves rows black for which an uncompressed TIFF has no strip."""
    if image.format != "TIFF" or not isinstance(image, PIL.ImageFile.ImageFile):
        return
    height = int(image.getexif().get(_TIFF_HEIGHT, 0))
    covered = max((tile.extents[3] for tile in image.tile if tile.extents is not None), default=0)
    if covered < height:
        raise RecordError("broken_image", f"a TIFF of {height} rows with pixels for {covered} of them")


def _codestream_sizes(data: bytes) -> list[Size]:
    """Grid and tile sizes of every SIZ segment: length, capabilities, X, Y, X and Y offset, tile X, tile Y."""
    sizes: list[Size] = []
    start = data.find(_CODESTREAM_MAGIC)
    while start >= 0:
        segment = data[start + 8 : start + 32]
        if len(segment) == 24:
            x, y, x_offset, y_offset, tile_x, tile_y = struct.unpack(">6I", segment)
            # Writers may round a tile up beyond the picture; only its part inside is decoded.
            sizes += [(x - x_offset, y - y_offset), (min(tile_x, x), min(tile_y, y))]
        start = data.find(_CODESTREAM_MAGIC, start + 4)
    return sizes


def _icon_sizes(data: bytes) -> list[Size]:
    """The size that each image in an ICO file claims for itself; the directory's own numbers end at 256."""
    if not data.startswith(_ICON_MAGIC):
        return []
    sizes: list[Size] = []
    for entry in range(int.from_bytes(data[4:6], "little")):
        start = int.from_bytes(data[6 + 16 * entry + 12 : 6 + 16 * entry + 16], "little")
        header = data[start : start + 24]
        if len(header) == 24 and header.startswith(_PNG_MAGIC):
            sizes.append(struct.unpack(">2I", header[16:24]))
        elif len(header) == 24:
            width, height = struct.unpack("<2i", header[4:12])
            sizes.append((abs(width), abs(height)))
    return sizes
