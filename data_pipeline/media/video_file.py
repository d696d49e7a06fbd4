"""A video file to the frames that stand for it: MP4 and MOV, decoded inside this process by PyAV, within bounds.

    bytes --declared sizes--> --packets, not decoded--> length, number of frames --decoder--> the sampled frames,
                                                                             upright, as lossless picture files

They are the pictures that the same sampling would take of a folder with every frame of the file.

What a file asks for stops here, before or while it is read: its bytes, the samples that its tables promise (a table of
a few bytes may promise billions, each of which takes memory), its frames, its seconds, and the pixels of a frame, which
the decoder is told. Only the formats and codecs below are opened, and a file that points to another one is refused.
"""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import PIL.Image

from data_pipeline.config import MediaConfig
from data_pipeline.errors import RecordError, Unavailable
from data_pipeline.media.pixels import kind_of, lossless
from data_pipeline.media.reading import MAX_MEDIA_BYTES
from data_pipeline.media.sampling import places
from data_pipeline.media.video_tables import FIRST_BOXES, check_promised

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["FilmFrames", "frames_in"]

_FORMATS = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name of the one reader that is used."""
_CODECS = {"av1": "AV1", "h264": "H.264", "hevc": "H.265", "libdav1d": "AV1", "mpeg4": "MPEG-4", "vp9": "VP9"}
"""Decoders that are used, by FFmpeg's names."""
_BROKEN = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError)
"""What PyAV raises, beside FFmpeg's errors, on files that lie about their structure."""
_CURE = "make it an MP4 with H.264, or extract its frames into a folder"


@dataclass(frozen=True, slots=True)
class FilmFrames:
    """The frames that stand for a file.

    Attributes:
        files: pictures, at least one, in the order of time.
        num_frames: frames of the whole file.
        frames_per_second: of the whole file, on average.
    """

    files: tuple[bytes, ...]
    num_frames: int
    frames_per_second: float


def frames_in(data: bytes, name: str, config: MediaConfig) -> FilmFrames:
    """The sampled frames of a video file.

    Args:
        data: the file.
        name: what messages call it.

    Raises:
        Unavailable: PyAV is not installed.
        RecordError: broken_video (it does not decode to its end), media_too_large, video_file (another format or
            codec).
    """
    if data[4:8] not in FIRST_BOXES:
        raise RecordError("video_file", f"{name} is {kind_of(data)}: {_CURE}")
    check_promised(data)
    guess = _num_packets(data, name, config)
    decoded = _decoded(data, name, config, places(guess, config.max_frames))
    if decoded.count != guess:  # some packets hold no frame that is shown, or two
        decoded = _decoded(data, name, config, places(decoded.count, config.max_frames))
    return FilmFrames(tuple(decoded.files), decoded.count, decoded.frames_per_second(config))


@dataclass
class _Decoded:
    """What one pass over the file gave: `files` of the wanted frames, `times` of the first and the last of all."""

    files: list[bytes] = field(default_factory=list)
    times: list[Fraction] = field(default_factory=list)
    count: int = 0
    stated_rate: Fraction | None = None

    def frames_per_second(self, config: MediaConfig) -> float:
        """By the times of the first and the last frame; a single frame has the file's own rate, if it says one."""
        if self.count > 1:
            return float((self.count - 1) / (self.times[-1] - self.times[0]))
        return float(self.stated_rate or config.frames_per_second)


def _decoded(data: bytes, name: str, config: MediaConfig, wanted: Sequence[int]) -> _Decoded:
    """Decode to the end, and keep the frames at the places `wanted`."""
    found, keep, num_bytes = _Decoded(), frozenset(wanted), 0
    with _opened(data, name, config) as (container, stream):
        found.stated_rate = stream.average_rate
        for frame in _frames(container, stream, name):
            _check_frame(frame, found, name, config)
            if found.count in keep:
                found.files.append(_file_of(frame))
                num_bytes += len(found.files[-1])
            if num_bytes > MAX_MEDIA_BYTES:
                raise RecordError("media_too_large", f"frames of {name} of more than {MAX_MEDIA_BYTES:,} bytes")
            found.count += 1
    if not found.count:
        raise RecordError("broken_video", f"{name} holds no frame")
    return found


def _frames(container: "InputContainer", stream: "VideoStream", name: str) -> "Iterator[VideoFrame]":
    for packet in container.demux(stream):
        for frame in packet.decode():
            if frame.is_corrupt:
                raise RecordError("broken_video", f"a frame of {name} is damaged")
            yield frame


def _check_frame(frame: "VideoFrame", found: _Decoded, name: str, config: MediaConfig) -> None:
    """Refuse one frame too many or too large; keep its time."""
    if found.count == config.max_video_frames:
        raise RecordError("media_too_large", f"{name} has more frames than max_video_frames={config.max_video_frames}")
    _check_pixels(frame.width, frame.height, name, config)
    if frame.pts is None or frame.time_base is None:
        raise RecordError("broken_video", f"frame {found.count} of {name} has no time")
    time = frame.pts * frame.time_base
    if found.times and time <= found.times[-1]:
        raise RecordError("broken_video", f"frame {found.count} of {name} is not behind the one before in time")
    found.times[1:] = [time]


def _check_pixels(width: int, height: int, name: str, config: MediaConfig) -> None:
    if width * height > config.max_frame_pixels:
        raise RecordError(
            "media_too_large",
            f"frames of {name} of {width} x {height} = {width * height} pixels, limit "
            f"max_frame_pixels={config.max_frame_pixels}",
        )


def _num_packets(data: bytes, name: str, config: MediaConfig) -> int:
    """Packets that hold a frame, of a file that is whole and not too long; nothing is decoded."""
    count, first, last = 0, None, Fraction(0)
    with _opened(data, name, config) as (container, stream):
        for packet in container.demux(stream):
            if packet.pts is None or packet.size == 0:
                continue  # the empty packet behind the last one
            if packet.is_corrupt:
                raise RecordError("broken_video", f"{name} breaks off, or is damaged")
            time = packet.pts * packet.time_base
            first = time if first is None else min(first, time)
            last = max(last, time)
            count += not packet.is_discard
            _check_length(count, last - first, name, config)
        _check_length(len(stream.index_entries), Fraction(0), name, config)
        if any(entry.pos + entry.size > len(data) for entry in stream.index_entries):
            raise RecordError("broken_video", f"{name} breaks off: it has {len(data)} bytes and points behind them")
    if not count:
        raise RecordError("broken_video", f"{name} holds no frame")
    return count


def _check_length(count: int, seconds: Fraction, name: str, config: MediaConfig) -> None:
    if count > config.max_video_frames:
        raise RecordError("media_too_large", f"{name} has more frames than max_video_frames={config.max_video_frames}")
    if seconds > config.max_video_seconds:
        raise RecordError("media_too_large", f"{name} is longer than max_video_seconds={config.max_video_seconds:g}")


@contextmanager
def _opened(data: bytes, name: str, config: MediaConfig) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """The file and its first track of pictures; whatever FFmpeg raises in the ``with`` becomes a refusal."""
    av = _library(name)
    options = {"format_whitelist": _FORMATS, "codec_whitelist": ",".join(_CODECS), "threads": "1"}
    options |= {"max_pixels": str(config.max_frame_pixels)}
    try:
        with av.open(
            io.BytesIO(data), mode="r", format="mp4", options=options, io_open=_no_other_file, metadata_errors="replace"
        ) as container:
            yield container, _stream_of(container, name, config)
    except av.error.FFmpegError as error:
        raise RecordError("broken_video", f"{name}: {type(error).__name__}: {error.strerror}") from error
    except _BROKEN as error:
        raise RecordError("broken_video", f"{name}: {type(error).__name__}: {error}") from error


def _stream_of(container: "InputContainer", name: str, config: MediaConfig) -> "VideoStream":
    import av.stream

    cover = av.stream.Disposition.attached_pic
    stream = next((one for one in container.streams.video if not one.disposition & cover), None)
    if stream is None:
        raise RecordError("broken_video", f"{name} has no track of pictures")
    context: Any = stream.codec_context  # None where FFmpeg knows no decoder
    if context is None or context.name not in _CODECS:
        codec = "an unknown codec" if context is None else context.name
        known = ", ".join(dict.fromkeys(_CODECS.values()))
        raise RecordError("video_file", f"{name} is in {codec}, and only {known} are read: {_CURE}")
    _check_pixels(context.width, context.height, name, config)
    # Many workers decode at once; a damaged frame is an error and is not made up from its neighbours.
    context.thread_count = 1
    context.options = {"max_pixels": str(config.max_frame_pixels), "err_detect": "explode"}
    return stream


def _library(name: str) -> Any:
    """PyAV.

    Raises:
        Unavailable: it is not installed; the same record may be read once it is.
    """
    try:
        import av
    except ImportError as error:
        raise Unavailable(
            f"{name} is a video file, and this machine has no PyAV to read it: pip install 'basereward[video]', or "
            "extract its frames into a folder"
        ) from error
    return av


def _no_other_file(url: str, _flags: int, _options: dict[str, str]) -> Any:
    raise RecordError("unsafe_path", f"a video file that points to another file, {url[:80]!r}")


def _file_of(frame: "VideoFrame") -> bytes:
    """The frame as a person sees it, as a picture file; only quarter turns are applied."""
    # FFmpeg's own conversion of colours, which also Transformers' reader and `ffmpeg film.mp4 %d.png` have.
    pixels = frame.to_ndarray(format="rgb24", threads=1)
    return lossless(PIL.Image.fromarray(np.ascontiguousarray(np.rot90(pixels, frame.rotation // 90))))
