"""A video is a folder of frames: which of them stand for it, verified, and how far apart in time they are."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_pipeline import storage
from data_pipeline.config import MediaConfig
from data_pipeline.errors import AccessDenied, MissingInput, RecordError, Unavailable
from data_pipeline.media.loading import Image
from data_pipeline.media.reading import as_configured
from data_pipeline.records.comparison import MediaRef
from data_pipeline.storage import url_below

__all__ = ["SampledFrames", "Video", "frames_of", "load_video", "sampled", "video_key"]


# A folder of frames often holds a thumbnail data base or an index too; only here does a name's ending count.
_FRAME = re.compile(r".*\.(avif|bmp|gif|jp2|jpe?g|png|ppm|tiff?|webp)", re.IGNORECASE | re.DOTALL)
_DIGITS = re.compile(r"([0-9]+)")


@dataclass(frozen=True, slots=True)
class SampledFrames:
    """The frames that stand for a video.

    Attributes:
        refs: at least one, in the order of time.
        seconds_per_step: twice the mean time from one of them to the next, since two frames are one step of time.
    """

    refs: tuple[MediaRef, ...]
    seconds_per_step: float


def frames_of(ref: MediaRef, root: str, config: MediaConfig) -> SampledFrames:
    """The sampled frames of a video folder, in natural order: frame9.jpg comes before frame10.jpg.

    At most `config.max_frames`, evenly, the first and the last included; hidden files and files without an image's
    ending are no frames. Nothing is read or decoded here. Of 31 frames at `config.frames_per_second` 2, 16 are every
    second one: 1 second apart, 2 seconds a step.

    Args:
        ref: the folder, relative to `root`.
        root: the source's media root: a folder, an ``s3://`` prefix, or an archive.

    Raises:
        Unavailable: as for `read_media`.
        RecordError: missing_media (no such folder, or no frame in it), video_file (bytes or a file in place of a
            folder), unsafe_path, remote_media.
    """
    with as_configured(ref, config):
        return _frames_of(ref, root, config)


def _frames_of(ref: MediaRef, root: str, config: MediaConfig) -> SampledFrames:
    if ref.data is not None:
        raise RecordError("video_file", f"{len(ref.data)} bytes: only folders of frames are read")
    if not ref.path:
        raise RecordError("missing_media", "the record names no video folder")
    url_below(ref.path, root)  # refuses; only then are doubled slashes taken out, which listings never have
    path = "/".join(part for part in ref.path.split("/") if part not in ("", "."))
    folder = url_below(path, root)
    try:
        files = storage.list_files(folder)
    except AccessDenied as error:
        raise Unavailable(f"{path!r} below the media root: {error}") from error
    except MissingInput as error:
        raise RecordError("missing_media", f"{path!r} below the media root: {error}") from error
    if files == [folder]:
        raise RecordError("video_file", f"{path!r} is a file: extract its frames into a folder")
    # A remote folder's name with a * in it is a glob: what it finds elsewhere is not of this folder. Remote listings
    # may write the root in another way.
    parents = [storage.parent_of(url) for url in files]
    own = [parent == folder or parent.endswith(f"/{path}") for parent in parents]
    names = [storage.name_of(url) for url, belongs in zip(files, own, strict=True) if belongs]
    frames = sorted((name for name in names if not name.startswith(".") and _FRAME.fullmatch(name)), key=_natural)
    if not frames:
        raise RecordError("missing_media", f"no frames in {path!r} below the media root, {len(files)} other files")
    taken = sampled(frames, config.max_frames)
    spacing = (len(frames) - 1) / (len(taken) - 1) if len(taken) > 1 else 1.0
    return SampledFrames(
        refs=tuple(MediaRef(path=f"{path}/{name}") for name in taken),
        seconds_per_step=2 * spacing / config.frames_per_second,
    )


def sampled(frames: list[str], most: int) -> list[str]:
    """At most `most` of them, evenly: 5 of 10 are numbers 0, 2, 5, 7 and 9; one of them is the first."""
    if most < 1:
        raise ValueError(f"max_frames must be at least 1, got {most}")
    if len(frames) <= most:
        return frames
    gaps = max(1, most - 1)
    # Integers round halves up; floats would round some down.
    return [frames[(2 * i * (len(frames) - 1) + gaps) // (2 * gaps)] for i in range(most)]


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Digits compare as numbers; the name itself breaks the tie of 01 and 1."""
    pieces = _DIGITS.split(name.lower())  # the odd ones are the digits
    return [(int(piece), "") if place % 2 else (-1, piece) for place, piece in enumerate(pieces)], name


@dataclass(frozen=True, slots=True)
class Video:
    """Frames that decode, all of one size.

    Attributes:
        frames: at least one, in the order of time.
        seconds_per_step: seconds from every second frame to the next such one: two frames are one step of time.
    """

    frames: tuple[Image, ...]
    seconds_per_step: float

    @property
    def sha256(self) -> str:
        """`video_key` of the frames."""
        return video_key([frame.sha256 for frame in self.frames])


def load_video(ref: MediaRef, root: str, config: MediaConfig, load: Callable[[MediaRef], Image]) -> Video:
    """Sample a folder's frames and read them.

    Args:
        ref: the folder, relative to `root`.
        root: the source's media root.
        load: reads one frame.

    Raises:
        RecordError: as for `frames_of`; ``"frames_differ"``: not all frames have one size; whatever `load` raises.
    """
    sampled = frames_of(ref, root, config)
    frames = tuple(map(load, sampled.refs))
    sizes = sorted({(frame.width, frame.height) for frame in frames})
    if len(sizes) > 1:
        shown = ", ".join(f"{width} x {height}" for width, height in sizes[:4])
        raise RecordError("frames_differ", f"{len(frames)} frames of {ref.path!r} have {len(sizes)} sizes: {shown}")
    return Video(frames, sampled.seconds_per_step)


def video_key(frame_keys: Sequence[str]) -> str:
    """64 hex digits that name the frames in this order.

    Args:
        frame_keys: sha256 of every frame's file, hex.
    """
    return hashlib.sha256("".join(frame_keys).encode()).hexdigest()
