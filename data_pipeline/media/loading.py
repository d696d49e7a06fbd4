"""One reference to one verified image."""

import hashlib
from dataclasses import dataclass

from data_pipeline.config import MediaConfig
from data_pipeline.media.bounds import check_declared_size
from data_pipeline.media.perceptual import perceptual_hash
from data_pipeline.media.pixels import decode_rgb
from data_pipeline.media.reading import read_media
from data_pipeline.records.comparison import MediaRef

__all__ = ["Image", "load_image"]


@dataclass(frozen=True, slots=True)
class Image:
    """An image file that decodes.

    Attributes:
        data: the file's bytes as found.
        sha256: of `data`, hex.
        width: in pixels, after EXIF rotation.
        height: in pixels, after EXIF rotation.
        perceptual_hash: 64 bits, alike for pictures that look alike; None: too plain to have one.
    """

    data: bytes
    sha256: str
    width: int
    height: int
    perceptual_hash: int | None = None


def load_image(ref: MediaRef, root: str, config: MediaConfig) -> Image:
    """Read and verify one image: bounded in bytes and pixels, then decoded to its end once.

    Args:
        ref: bytes, or a path below `root`; bytes win.
        root: the source's media root: a folder, an ``s3://`` prefix, or an archive.

    Raises:
        RecordError: missing_media, broken_image, media_too_large, unsafe_path, remote_media.
    """
    data = read_media(ref, root, config)
    check_declared_size(data, config.max_source_pixels)
    sha256 = hashlib.sha256(data).hexdigest()
    looks = _LOOKS.get(sha256)
    if looks is None:
        looks = _looks_of(data)
        if len(_LOOKS) >= _MAX_LOOKS:
            _LOOKS.clear()
        _LOOKS[sha256] = looks
    width, height, picture_hash = looks
    return Image(data=data, sha256=sha256, width=width, height=height, perceptual_hash=picture_hash)


_Looks = tuple[int, int, int | None]
_LOOKS: dict[str, _Looks] = {}
"""sha256 -> (width, height, hash) of pictures that this process has decoded: sets show one picture many times over."""
_MAX_LOOKS = 100_000  # some 20 MB


def _looks_of(data: bytes) -> _Looks:
    upright = decode_rgb(data)
    return upright.width, upright.height, perceptual_hash(upright)
