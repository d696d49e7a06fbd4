"""How the families of backbones are shown pictures: the numbers of their Hugging Face processors."""

from dataclasses import dataclass

__all__ = ["FRAMES_OF_STEP", "IMAGE_FORMATS", "INTERNVL", "MERGE", "QWEN2_5_VL", "QWEN3_VL", "ImageFormat", "Marks"]

MERGE = 2
"""Patches along either side of what one vision token covers."""
FRAMES_OF_STEP = 2
"""Frames of a video in one step of time; a still image fills both."""

Colours = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Names of the special tokens that stand for a picture: `start`, as many `pad` as it has vision tokens, `end`."""

    start: str
    pad: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFormat:
    """Of one family.

    Attributes:
        name: as `EncodeConfig.family` says it.
        patch: side of a vision patch in pixels.
        mean: of red, green and blue, from 0 to 1; taken off before they are divided by `std`.
        std: likewise.
        frames: frames in a patch: two, which a still image both fills, or one where there are no videos.
        stamped: each step of a video is a vision span of its own behind its time as text, ``<0.5 seconds>``; False: the
            steps are one span, and only positions tell the time.
        tile: side of the square tiles into which a picture is cut, in pixels; 0: it is shown whole, at its own size.
        marks: its tokens.
    """

    name: str
    patch: int
    mean: Colours
    std: Colours
    frames: int = FRAMES_OF_STEP
    stamped: bool = False
    tile: int = 0
    marks: Marks = Marks(start="<|vision_start|>", pad="<|image_pad|>", end="<|vision_end|>")

    @property
    def merged(self) -> int:
        """Side of what one vision token covers, in pixels: 28 or 32."""
        return MERGE * self.patch

    @property
    def patch_values(self) -> int:
        """Numbers of one patch, those of all its frames: 3 x 2 x 14 x 14 = 1,176, or 3 x 1 x 14 x 14 = 588."""
        return 3 * self.frames * self.patch**2

    @property
    def has_videos(self) -> bool:
        """Whether a video is a span of its own; else only its frames can be shown, as pictures."""
        return self.frames == FRAMES_OF_STEP

    def grid_of(self, height: int, width: int) -> tuple[int, int, int]:
        """(steps, rows, columns) in patches of a still picture of that size: one step, or one for each of its tiles.

        Qwen2.5-VL: 56 x 84 pixels are (1, 4, 6). InternVL: 448 x 896 pixels are two tiles and a third one that shows
        the whole picture, (3, 32, 32).
        """
        if not self.tile:
            return (1, height // self.patch, width // self.patch)
        tiles = (height // self.tile) * (width // self.tile)
        side = self.tile // self.patch
        return (tiles + (tiles > 1), side, side)


QWEN2_5_VL = ImageFormat(
    name="qwen2.5-vl",
    patch=14,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
)
QWEN3_VL = ImageFormat(name="qwen3-vl", patch=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), stamped=True)
INTERNVL = ImageFormat(
    name="internvl",
    patch=14,
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
    frames=1,
    tile=448,
    marks=Marks(start="<img>", pad="<IMG_CONTEXT>", end="</img>"),
)

IMAGE_FORMATS = {one.name: one for one in (QWEN2_5_VL, QWEN3_VL, INTERNVL)}
"""By name; Qwen2-VL is shown pictures as Qwen2.5-VL is."""
