"""Image bytes -> the flattened patches that the vision tower reads, equal to the Qwen2.5-VL processor's."""

import numpy as np
import numpy.typing as npt

from data_pipeline.encode import EncodedImage
from data_pipeline.media import resized_rgb

__all__ = ["PATCH_DIM", "patches_of", "patchify"]

_PATCH = 14
_MERGE = 2
_TEMPORAL = 2  # a still image is shown twice, as two frames
PATCH_DIM = 3 * _TEMPORAL * _PATCH * _PATCH
_MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
_STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)


def patches_of(image: EncodedImage, *, blank: bool = False) -> npt.NDArray[np.float32]:
    """Decode, resize and flatten one image: float32 [patches, 1176].

    Args:
        blank: replace the pixels by mid-grey of the same size: what a model sees that must not look.
    """
    if blank:
        return patchify(np.full((image.height, image.width, 3), 128, dtype=np.uint8))
    return patchify(resized_rgb(image.data, image.height, image.width))


def patchify(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Normalise and flatten pixels [height, width, 3] into patches [height/14 * width/14, 1176].

    Patches that merge into one token (2 x 2 neighbours) stand together; inside a patch the order is
    channel, frame, row, column.
    """
    height, width, _ = pixels.shape
    normalised = (pixels.astype(np.float32) / 255.0 - _MEAN) / _STD
    grid = normalised.reshape(
        height // (_PATCH * _MERGE), _MERGE, _PATCH, width // (_PATCH * _MERGE), _MERGE, _PATCH, 3
    )
    # axes: (row, row in merge, y, column, column in merge, x, channel)
    ordered = grid.transpose(0, 3, 1, 4, 6, 2, 5)
    frames = np.repeat(ordered[:, :, :, :, :, None], _TEMPORAL, axis=5)
    return np.ascontiguousarray(frames.reshape(-1, PATCH_DIM))
