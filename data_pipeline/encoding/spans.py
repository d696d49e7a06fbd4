"""What an image span or a video span of a row stands for: pictures in files, and the size the model sees them at.

image   <|vision_start|> n x <|image_pad|> <|vision_end|>   n =           (height / 28) * (width / 28)
video   <|vision_start|> n x <|video_pad|> <|vision_end|>   n = (T / 2) * (height / 28) * (width / 28), T frames
"""

from dataclasses import dataclass

from data_pipeline.media import video_key

__all__ = ["MERGED_PATCH", "PATCH", "EncodedImage", "EncodedVideo", "VisionSpan"]

PATCH = 14
"""Side of a vision patch in pixels."""
MERGED_PATCH = 28
"""Side of what one vision token covers, in pixels: 2 x 2 patches."""


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """One picture, a still image or a frame of a video: its file and the size to which it is resized.

    Attributes:
        key: sha256 of the original file, hex.
        data: the original file's bytes, or its resized pixels in a lossless file.
        height: in pixels after resizing, a multiple of 28.
        width: in pixels after resizing, a multiple of 28.
        resized: whether `data` has that size already.
    """

    key: str
    data: bytes
    height: int
    width: int
    resized: bool = False

    @property
    def grid(self) -> tuple[int, int, int]:
        """(steps of time, rows, columns) in patches of 14 x 14 pixels: 56 x 84 pixels are (1, 4, 6)."""
        return (1, self.height // PATCH, self.width // PATCH)

    @property
    def num_patches(self) -> int:
        return self.grid[1] * self.grid[2]

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
    def grid(self) -> tuple[int, int, int]:
        """(steps of time, rows, columns) in patches: 5 frames of 56 x 84 pixels are (3, 4, 6)."""
        return ((len(self.frames) + 1) // 2, self.height // PATCH, self.width // PATCH)

    @property
    def num_patches(self) -> int:
        """Patches of all steps; a patch covers two frames."""
        steps, rows, columns = self.grid
        return steps * rows * columns

    @property
    def num_tokens(self) -> int:
        """Video tokens of the span: a quarter of the patches."""
        return self.num_patches // 4


VisionSpan = EncodedImage | EncodedVideo
"""What stands between ``<|vision_start|>`` and ``<|vision_end|>``."""
