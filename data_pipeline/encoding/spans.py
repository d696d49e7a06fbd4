"""What an image span or a video span of a row stands for: pictures in files, and the size the model sees them at.

image   <|vision_start|> n x <|image_pad|> <|vision_end|>   n =           (height / 28) * (width / 28)
video   <|vision_start|> n x <|video_pad|> <|vision_end|>   n = (T / 2) * (height / 28) * (width / 28), T frames

With Qwen3-VL a token covers 32 x 32 pixels, and each of the T / 2 steps of a video is such a span behind its time:

        <0.5 seconds> <|vision_start|> n x <|video_pad|> <|vision_end|> <2.5 seconds> <|vision_start|> ...

With InternVL a picture is N tiles of 448 x 448 pixels, all of them one span, and there are no videos:

        <img> 256 N x <IMG_CONTEXT> </img>
"""

from dataclasses import dataclass, replace
from math import prod

from data_pipeline.media import QWEN2_5_VL, ImageFormat, video_key
from data_pipeline.media.image_format import FRAMES_OF_STEP

__all__ = ["EncodedImage", "EncodedVideo", "VisionSpan", "stamps_of", "steps_of"]


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """One picture, a still image or a frame of a video: its file and the size to which it is resized.

    Attributes:
        key: sha256 of the original file, hex.
        data: the original file's bytes, or its resized pixels in a lossless file.
        height: in pixels after resizing, a multiple of `format.merged`, 28 or 32; of one cut into tiles that of all
            rows of tiles.
        width: likewise.
        resized: whether `data` has that size already.
        format: of the family of backbones that it was sized for.
    """

    key: str
    data: bytes
    height: int
    width: int
    resized: bool = False
    format: ImageFormat = QWEN2_5_VL

    @property
    def grid(self) -> tuple[int, int, int]:
        """(steps of time or tiles, rows, columns) in patches; of 14 x 14 pixels: 56 x 84 pixels are (1, 4, 6)."""
        return self.format.grid_of(self.height, self.width)

    @property
    def num_patches(self) -> int:
        return prod(self.grid)

    @property
    def num_tokens(self) -> int:
        """Image tokens of the span: a quarter of the patches."""
        return self.num_patches // 4


@dataclass(frozen=True, slots=True)
class EncodedVideo:
    """One video span: frames of one size, of which every two in a row are one step of time.

    Of an odd number of frames the last one fills its step alone, shown twice as a still image is.

    Attributes:
        frames: at least one, in the order of time.
        seconds_per_step: from one step of time to the next: two frames.
    """

    frames: tuple[EncodedImage, ...]
    seconds_per_step: float

    def __post_init__(self) -> None:
        sizes = {(frame.height, frame.width) for frame in self.frames}
        if len(sizes) != 1:
            raise ValueError(f"a video has frames of one size, got {len(self.frames)} frames of sizes {sorted(sizes)}")

    @property
    def key(self) -> str:
        """A hash of its frames' keys, hex; when they were taken plays no part, as the vision tower does not know it."""
        return video_key([frame.key for frame in self.frames])

    @property
    def height(self) -> int:
        return self.frames[0].height

    @property
    def width(self) -> int:
        return self.frames[0].width

    @property
    def format(self) -> ImageFormat:
        return self.frames[0].format

    @property
    def grid(self) -> tuple[int, int, int]:
        """(steps of time, rows, columns) in patches; of 14 x 14 pixels: 5 frames of 56 x 84 pixels are (3, 4, 6)."""
        return ((len(self.frames) + 1) // 2, *self.frames[0].grid[1:])

    @property
    def num_patches(self) -> int:
        """Patches of all steps; a patch covers two frames."""
        return prod(self.grid)

    @property
    def num_tokens(self) -> int:
        """Video tokens of the span: a quarter of the patches."""
        return self.num_patches // 4


VisionSpan = EncodedImage | EncodedVideo
"""What stands between ``<|vision_start|>`` and ``<|vision_end|>``."""


def steps_of(span: VisionSpan) -> tuple[VisionSpan, ...]:
    """The runs of vision tokens that the span is: itself, or where its format stamps videos each step of one."""
    if not isinstance(span, EncodedVideo) or not span.format.stamped:
        return (span,)
    return tuple(
        replace(span, frames=span.frames[start : start + FRAMES_OF_STEP])
        for start in range(0, len(span.frames), FRAMES_OF_STEP)
    )


def stamps_of(video: EncodedVideo) -> tuple[str, ...]:
    """The text in front of each step of a stamped video: the mean of its frames' times, to a tenth of a second.

    5 frames at 1 a second: ``<0.5 seconds>``, ``<2.5 seconds>``, ``<4.0 seconds>``; the last stands alone in its step.
    """
    last = len(video.frames) - 1
    between = video.seconds_per_step / 2
    return tuple(
        f"<{between * (first + min(first + 1, last)) / 2:.1f} seconds>"
        for first in range(0, len(video.frames), FRAMES_OF_STEP)
    )
