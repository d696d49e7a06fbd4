"""A video is a folder of frames, or a file: which of them stand for it, and how far apart in time they are."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_pipeline import storage
from data_pipeline.config import MediaConfig
from data_pipeline.errors import AccessDenied, MissingInput, RecordError, Unavailable
from data_pipeline.media.loading import Image, load_image
from data_pipeline.media.reading import as_configured, bytes_of
from data_pipeline.media.sampling import places
from data_pipeline.media.video_file import frames_in
from data_pipeline.records.comparison import MediaRef
from data_pipeline.storage import url_below

__all__ = ["SampledFrames", "Video", "frames_of", "load_medium", "load_video", "video_key", "video_of"]


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
    """The sampled frames of a video: at most `config.max_frames`, evenly, the first and the last included.

    Of a folder in natural order, frame9.jpg before frame10.jpg; hidden files and files without an image's ending are no
    frames, and nothing is read or decoded here. Of 31 frames at `config.frames_per_second` 2, 16 are every second one:
    1 second apart, 2 seconds a step. A file is decoded, and gives its frames as bytes; its times are its own.

    Args:
        ref: the folder or file, relative to `root`, or the bytes of a file.
        root: the source's media root: a folder, an ``s3://`` prefix, or an archive.

    Raises:
        Unavailable: as for `read_media`; PyAV, which decodes files, is not installed.
        RecordError: missing_media (no such folder or file, or no frame in it), unsafe_path, remote_media; of a file:
            video_file (a format or codec that is not read), broken_video, media_too_large.
    """
    with as_configured(ref, config):
        return _frames_of(ref, root, config)


def _frames_of(ref: MediaRef, root: str, config: MediaConfig) -> SampledFrames:
    if ref.data is not None:
        return _of_file(bytes_of(ref, root, config), "a video", config)
    if not ref.path:
        raise RecordError("missing_media", "the record names no video")
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
        return _of_file(bytes_of(ref, root, config), repr(path), config)
    # A remote folder's name with a * in it is a glob: what it finds elsewhere is not of this folder. Remote listings
    # may write the root in another way.
    parents = [storage.parent_of(url) for url in files]
    own = [parent == folder or parent.endswith(f"/{path}") for parent in parents]
    names = [storage.name_of(url) for url, belongs in zip(files, own, strict=True) if belongs]
    frames = sorted((name for name in names if not name.startswith(".") and _FRAME.fullmatch(name)), key=_natural)
    if not frames:
        raise RecordError("missing_media", f"no frames in {path!r} below the media root, {len(files)} other files")
    refs = [MediaRef(path=f"{path}/{frames[place]}") for place in places(len(frames), config.max_frames)]
    return _spaced(refs, len(frames), config.frames_per_second)


def _of_file(data: bytes, name: str, config: MediaConfig) -> SampledFrames:
    film = frames_in(data, name, config)
    refs = [MediaRef(data=one, decoded=True) for one in film.files]
    return _spaced(refs, film.num_frames, film.frames_per_second)


def _spaced(refs: list[MediaRef], num_frames: int, frames_per_second: float) -> SampledFrames:
    """`refs` of a video of so many frames."""
    spacing = (num_frames - 1) / (len(refs) - 1) if len(refs) > 1 else 1.0
    return SampledFrames(refs=tuple(refs), seconds_per_step=2 * spacing / frames_per_second)


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
    """Sample a video's frames and read them.

    Args:
        ref: as for `frames_of`.
        root: the source's media root.
        load: reads one frame.

    Raises:
        RecordError: as for `frames_of`, `video_of`.
    """
    return video_of(frames_of(ref, root, config), ref.path, load)


def video_of(sampled: SampledFrames, name: str | None, load: Callable[[MediaRef], Image]) -> Video:
    """The sampled frames, read.

    Args:
        name: what messages call the video.
        load: reads one frame.

    Raises:
        RecordError: ``"frames_differ"``: not all frames have one size; whatever `load` raises.
    """
    frames = tuple(map(load, sampled.refs))
    sizes = sorted({(frame.width, frame.height) for frame in frames})
    if len(sizes) > 1:
        shown = ", ".join(f"{width} x {height}" for width, height in sizes[:4])
        raise RecordError("frames_differ", f"{len(frames)} frames of {name!r} have {len(sizes)} sizes: {shown}")
    return Video(frames, sampled.seconds_per_step)


def load_medium(ref: MediaRef, root: str, config: MediaConfig) -> Image | Video:
    """The image, or the video with its sampled frames, that `ref` names.

    Raises:
        RecordError: as for `load_image`, `load_video`.
    """
    if ref.is_video:
        return load_video(ref, root, config, lambda frame: load_image(frame, root, config))
    return load_image(ref, root, config)


def video_key(frame_keys: Sequence[str]) -> str:
    """64 hex digits that name the frames in this order.

    Args:
        frame_keys: sha256 of every frame's file, hex.
    """
    return hashlib.sha256("".join(frame_keys).encode()).hexdigest()
