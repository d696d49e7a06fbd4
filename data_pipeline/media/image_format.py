"""How the families of backbones are shown pictures: the numbers of their Hugging Face processors."""

from dataclasses import dataclass

__all__ = ["FRAMES_OF_STEP", "IMAGE_FORMATS", "MERGE", "QWEN2_5_VL", "QWEN3_VL", "ImageFormat"]

MERGE = 2
"""Patches along either side of what one vision token covers."""
FRAMES_OF_STEP = 2
"""Frames of a video in one step of time; a still image fills both."""

Colours = tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFormat:
    """Of one family.

    Attributes:
        name: as `EncodeConfig.family` says it.
        patch: side of a vision patch in pixels.
        mean: of red, green and blue, from 0 to 1; taken off before they are divided by `std`.
        std: likewise.
        stamped: each step of a video is a vision span of its own behind its time as text, ``<0.5 seconds>``; False: the
            steps are one span, and only positions tell the time.
    """

    name: str
    patch: int
    mean: Colours
    std: Colours
    stamped: bool

    @property
    def merged(self) -> int:
        """Side of what one vision token covers, in pixels: 28 or 32."""
        return MERGE * self.patch

    @property
    def patch_values(self) -> int:
        """Numbers of one patch, those of both frames: 3 x 2 x 14 x 14 = 1,176, or 3 x 2 x 16 x 16 = 1,536."""
        return 3 * FRAMES_OF_STEP * self.patch**2


QWEN2_5_VL = ImageFormat(
    name="qwen2.5-vl",
    patch=14,
    mean=(0.48145466, 0.4578275, 0.40821073),
    std=(0.26862954, 0.26130258, 0.27577711),
    stamped=False,
)
QWEN3_VL = ImageFormat(name="qwen3-vl", patch=16, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), stamped=True)

IMAGE_FORMATS = {one.name: one for one in (QWEN2_5_VL, QWEN3_VL)}
"""By name; Qwen2-VL is shown pictures as Qwen2.5-VL is."""
