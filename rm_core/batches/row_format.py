"""What a packed row has to know of the backbone that reads it."""

from dataclasses import dataclass

__all__ = ["RowFormat"]


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """Numbers of one backbone and its attention kernel; picklable, so that loader processes can have it.

    Attributes:
        image_token: id of ``<|image_pad|>``.
        video_token: id of ``<|video_pad|>``.
        has_vision: False for a text-only backbone, which refuses rows with images.
        time_per_second: M-RoPE time positions a second of video (Qwen2.5-VL: 2); None: one a pair of frames (Qwen2-VL).
        alignment: the row's length is filled up to a multiple of this many tokens, as the attention kernel wants it.
    """

    image_token: int
    video_token: int
    has_vision: bool = True
    time_per_second: float | None = None
    alignment: int = 1
