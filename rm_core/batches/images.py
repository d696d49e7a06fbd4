"""The distinct images of a packed row, as the vision tower reads them."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from data_pipeline.encode import EncodedImage
from rm_core.batches.pixels import PATCH_DIM

__all__ = ["ImageLoader", "distinct_images"]

ImageLoader = Callable[[EncodedImage], npt.NDArray[np.float32]]
_BLANK_GRID = (1, 2, 2)


def distinct_images(
    spans: Sequence[EncodedImage], load_image: ImageLoader
) -> tuple[npt.NDArray[np.float32], list[tuple[int, int, int]], npt.NDArray[np.int64]]:
    """Patches of the distinct images, their grids, and for every image token of the spans its row of tower output."""
    if not spans:
        return np.zeros((4, PATCH_DIM), dtype=np.float32), [_BLANK_GRID], np.zeros(0, dtype=np.int64)
    # One picture at two sizes is two images to the tower.
    distinct = {(image.key, image.height, image.width): image for image in spans}
    first_token, offset = {}, 0
    for key, image in distinct.items():
        first_token[key] = offset
        offset += image.num_tokens
    features = [
        np.arange(image.num_tokens, dtype=np.int64) + first_token[(image.key, image.height, image.width)]
        for image in spans
    ]
    pixels = np.concatenate([load_image(image) for image in distinct.values()])
    return pixels, [image.grid for image in distinct.values()], np.concatenate(features)
