"""Image and video bytes -> the flattened patches that the vision tower reads, equal to the Hugging Face processor's.

A row reads each distinct image once, however often it is shown.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import EncodedImage, EncodedVideo, VisionSpan
from data_pipeline.media import QWEN2_5_VL, ImageFormat, resized_rgb, tiled_rgb
from data_pipeline.media.image_format import FRAMES_OF_STEP, MERGE

__all__ = ["ImageLoader", "distinct_images", "patches_of", "patchify"]

ImageLoader = Callable[[VisionSpan], npt.NDArray[np.float32]]

_BLANK_GRID = (1, 2, 2)


def patches_of(span: VisionSpan, *, blank: bool = False) -> npt.NDArray[np.float32]:
    """Decode, resize and flatten one image or video: float32 [patches, D], step after step of time or tile after tile.

    D is 1,176 for Qwen2.5-VL, 1,536 for Qwen3-VL, 588 for InternVL: `ImageFormat.patch_values`.

    Args:
        blank: replace the pixels by mid-grey of the same size: what a model sees that must not look.
    """
    if span.format.tile:
        return np.concatenate([patchify(tile, format=span.format) for tile in _tiles(span, blank)])
    if not isinstance(span, EncodedVideo):
        return patchify(_pixels(span, blank), format=span.format)
    frames = [_pixels(frame, blank) for frame in span.frames]
    steps = [frames[start : start + FRAMES_OF_STEP] for start in range(0, len(frames), FRAMES_OF_STEP)]
    return np.concatenate([patchify(*step, format=span.format) for step in steps])


def _pixels(image: EncodedImage, blank: bool) -> npt.NDArray[np.uint8]:
    if blank:
        return np.full((image.height, image.width, 3), 128, dtype=np.uint8)
    return resized_rgb(image.data, image.height, image.width)


def _tiles(span: VisionSpan, blank: bool) -> npt.NDArray[np.uint8]:
    """[tiles, side, side, 3]."""
    if isinstance(span, EncodedVideo):
        raise TypeError(f"{span.format.name} is shown no videos, got one of {len(span.frames)} frames")
    side = span.format.tile
    if blank:
        return np.full((span.grid[0], side, side, 3), 128, dtype=np.uint8)
    return tiled_rgb(span.data, span.height, span.width, side)


def patchify(
    pixels: npt.NDArray[np.uint8],
    following: npt.NDArray[np.uint8] | None = None,
    *,
    format: ImageFormat = QWEN2_5_VL,
) -> npt.NDArray[np.float32]:
    """Normalise and flatten one step of time, pixels [height, width, 3], into patches; of Qwen2.5-VL they are
    [height/14 * width/14, 1176].

    Patches that merge into one token (2 x 2 neighbours) stand together; inside a patch the order is
    channel, frame, row, column.

    Args:
        following: the step's second frame; None: the same picture again, as for a still image or a last odd frame.
    """
    first = _ordered(pixels, format)
    if following is None:
        frames = np.repeat(first[:, :, :, :, :, None], format.frames, axis=5)
    else:
        frames = np.stack([first, _ordered(following, format)], axis=5)
    return np.ascontiguousarray(frames.reshape(-1, format.patch_values))


def _ordered(pixels: npt.NDArray[np.uint8], format: ImageFormat) -> npt.NDArray[np.float32]:
    """Normalised, with axes (row, column, row in merge, column in merge, channel, y, x); a view of another order."""
    height, width, _ = pixels.shape
    mean, std = (np.array(colours, dtype=np.float32) for colours in (format.mean, format.std))
    normalised = (pixels.astype(np.float32) / 255.0 - mean) / std
    side = format.patch
    grid = normalised.reshape(height // (side * MERGE), MERGE, side, width // (side * MERGE), MERGE, side, 3)
    # axes: (row, row in merge, y, column, column in merge, x, channel)
    return grid.transpose(0, 3, 1, 4, 6, 2, 5)


def distinct_images(
    spans: Sequence[VisionSpan], load_image: ImageLoader, format: ImageFormat = QWEN2_5_VL
) -> tuple[npt.NDArray[np.float32], list[tuple[int, int, int]], npt.NDArray[np.int64]]:
    """Patches of the distinct spans, their grids, and for every vision token of the spans its row of tower output.

    A video shown twice is read once, even where its frames lie at other distances in time: the tower knows no seconds.

    Args:
        format: of the blank image where there is no span.
    """
    if not spans:
        return np.zeros((4, format.patch_values), dtype=np.float32), [_BLANK_GRID], np.zeros(0, dtype=np.int64)
    # One picture at two sizes is two images to the tower.
    keys = [(span.key, span.height, span.width) for span in spans]
    distinct = dict(zip(keys, spans, strict=True))
    first_token, offset = {}, 0
    for key, span in distinct.items():
        first_token[key] = offset
        offset += span.num_tokens
    features = [
        np.arange(span.num_tokens, dtype=np.int64) + first_token[key] for key, span in zip(keys, spans, strict=True)
    ]
    pixels = np.concatenate([load_image(span) for span in distinct.values()])
    return pixels, [span.grid for span in distinct.values()], np.concatenate(features)
