"""One reference to one verified video: the frames that stand for it, and how far apart in time they are."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError
from data_pipeline.media.frames import frames_of
from data_pipeline.media.loading import Image
from data_pipeline.records.comparison import MediaRef

__all__ = ["Video", "load_video", "video_key"]


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
