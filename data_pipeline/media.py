"""Image references to verified bytes, and bytes to pixels.

    MediaRef --load_image--> Image (bytes that decode, sha256, upright size) --resized_rgb--> uint8 [H, W, 3]

A record may name only files below its media root; nothing is fetched, nothing is read before its size is known, and
only raster formats that Pillow decodes by itself are opened.
"""

import hashlib
import io
import math
import os
import struct
import zlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import PIL.Image

from data_pipeline import storage
from data_pipeline.comparison import MediaRef
from data_pipeline.config import EncodeConfig
from data_pipeline.errors import MissingInput, RecordError

__all__ = ["Image", "decode_rgb", "load_image", "resized_rgb", "smart_resize"]

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_MAX_ASPECT_RATIO = 200
_ORIENTATION_TAG = 0x0112
_UPRIGHT = {
    2: PIL.Image.Transpose.FLIP_LEFT_RIGHT,
    3: PIL.Image.Transpose.ROTATE_180,
    4: PIL.Image.Transpose.FLIP_TOP_BOTTOM,
    5: PIL.Image.Transpose.TRANSPOSE,
    6: PIL.Image.Transpose.ROTATE_270,
    7: PIL.Image.Transpose.TRANSVERSE,
    8: PIL.Image.Transpose.ROTATE_90,
}
_BOMB = (PIL.Image.DecompressionBombError, PIL.Image.DecompressionBombWarning)
# What Pillow's parsers raise on bytes that are no image, or break off, or lie about their structure.
_BROKEN = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error, zlib.error
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Image:
    """An image file that decodes.

    Attributes:
        data: the file's bytes as found.
        sha256: of `data`, hex.
        width: in pixels, after EXIF rotation.
        height: in pixels, after EXIF rotation.
    """

    data: bytes
    sha256: str
    width: int
    height: int


def load_image(ref: MediaRef, root: str, config: EncodeConfig) -> Image:
    """Read and verify one image: bounded in bytes and pixels, then decoded to its end once.

    Args:
        ref: bytes, or a path below `root`; bytes win.
        root: the source's media root, local or ``s3://``.

    Raises:
        RecordError: missing_media, broken_image, media_too_large, unsafe_path, remote_media.
    """
    data = _read(ref, root, config.max_source_bytes)
    with _opened(data) as image:
        width, height = image.size
    if width * height > config.max_source_pixels:
        raise RecordError(
            "media_too_large",
            f"{width} x {height} = {width * height} pixels, limit max_source_pixels={config.max_source_pixels}",
        )
    upright = decode_rgb(data)
    return Image(data, hashlib.sha256(data).hexdigest(), upright.width, upright.height)


def decode_rgb(data: bytes) -> PIL.Image.Image:
    """The picture as a person sees it: first frame, EXIF rotation applied, transparency on white, mode RGB.

    Raises:
        RecordError: ``"broken_image"``, or ``"media_too_large"`` (more pixels than Pillow opens at all).
    """
    try:
        with _opened(data) as image:
            image.load()
            upright = _UPRIGHT.get(image.getexif().get(_ORIENTATION_TAG, 1))
            rgb = _to_rgb(image)
            return rgb if upright is None else rgb.transpose(upright)
    except _BROKEN as error:
        raise RecordError("broken_image", f"{len(data)} bytes: {type(error).__name__}: {error}") from error


def resized_rgb(data: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    """The decoded picture at (height, width): uint8 [height, width, 3], resampled as the Hugging Face processor does.

    Raises:
        RecordError: as for `decode_rgb`.
    """
    return np.array(decode_rgb(data).resize((width, height), PIL.Image.Resampling.BICUBIC))


def smart_resize(
    height: int, width: int, *, factor: int = 28, min_pixels: int = 56 * 56, max_pixels: int = 1_003_520
) -> tuple[int, int]:
    """(height, width) near the given ones, multiples of `factor`, with min_pixels..max_pixels pixels in all.

    The rule of Qwen2-VL (arXiv 2409.12191), equal to Hugging Face's `smart_resize`: 480 x 640 -> 476 x 644. A very
    long image whose short side already is `factor` may exceed a very small `max_pixels`, there as here.

    Raises:
        RecordError: ``"extreme_aspect_ratio"``: one side is more than 200 times the other.
    """
    if max(height, width) > _MAX_ASPECT_RATIO * min(height, width):
        raise RecordError("extreme_aspect_ratio", f"{width} x {height} pixels, limit 1:{_MAX_ASPECT_RATIO}")
    new_height, new_width = round(height / factor) * factor, round(width / factor) * factor
    if new_height * new_width > max_pixels:
        shrink = math.sqrt((height * width) / max_pixels)
        return (
            max(factor, math.floor(height / shrink / factor) * factor),
            max(factor, math.floor(width / shrink / factor) * factor),
        )
    if new_height * new_width < min_pixels:
        grow = math.sqrt(min_pixels / (height * width))
        return math.ceil(height * grow / factor) * factor, math.ceil(width * grow / factor) * factor
    return new_height, new_width


def _read(ref: MediaRef, root: str, max_bytes: int) -> bytes:
    if ref.data is not None:
        _check_bytes(len(ref.data), max_bytes)
        return ref.data
    if not ref.path:
        raise RecordError("missing_media", "the record names no file and brings no bytes")
    url = _inside(ref.path, root)
    try:
        _check_bytes(storage.size_of(url), max_bytes)
        return storage.read_bytes(url)
    except MissingInput as error:
        raise RecordError("missing_media", f"no file {ref.path!r} below the media root") from error


def _inside(path: str, root: str) -> str:
    """The place of `path` below `root`, or a refusal: records are not trusted to name files."""
    scheme, mark, _ = path.partition("://")
    if mark:
        reason = "unsafe_path" if scheme.lower() == "file" else "remote_media"
        raise RecordError(reason, f"{path[:200]!r}: only paths below the media root are read")
    names = path.replace("\\", "/").split("/")
    if names[0] == "" or names[0].endswith(":") or ".." in names or "\0" in path:
        raise RecordError("unsafe_path", f"{path[:200]!r}: absolute, or with '..'")
    url = storage.join(root, path)
    if not storage.is_local(root):
        return url
    real_root, real = os.path.realpath(root), os.path.realpath(url)
    if os.path.commonpath([real_root, real]) != real_root:
        raise RecordError("unsafe_path", f"{path[:200]!r} leads out of the media root through a link")
    if not os.path.isfile(real):
        raise RecordError("missing_media", f"no file {path[:200]!r} below the media root")
    return real


def _check_bytes(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise RecordError("media_too_large", f"{size} bytes, limit max_source_bytes={max_bytes}")
    if size == 0:
        raise RecordError("broken_image", "the file is empty")


def _opened(data: bytes) -> PIL.Image.Image:
    """The header read and nothing decoded; the name's extension plays no part."""
    try:
        return PIL.Image.open(io.BytesIO(data), formats=_FORMATS)
    except _BOMB as error:
        raise RecordError("media_too_large", str(error)) from error
    except _BROKEN as error:
        raise RecordError("broken_image", f"{len(data)} bytes: {type(error).__name__}: {error}") from error


def _to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    if image.mode.startswith("I;16"):
        # Pillow's own conversion clips 16-bit grey at 255 instead of scaling it.
        image = PIL.Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise RecordError("broken_image", f"mode {image.mode} (32-bit values) has no defined brightness")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        white = PIL.Image.new("RGBA", picture.size, "white")
        return PIL.Image.alpha_composite(white, picture).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")
