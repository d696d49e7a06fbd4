"""The distinct images and videos of a packed row, as the vision tower reads them."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from data_pipeline.encoding.encoder import VisionSpan
from rm_core.batches.pixels import PATCH_DIM

__all__ = ["ImageLoader", "distinct_images"]

ImageLoader = Callable[[VisionSpan], npt.NDArray[np.float32]]
_BLANK_GRID = (1, 2, 2)


def distinct_images(
    spans: Sequence[VisionSpan], load_image: ImageLoader
) -> tuple[npt.NDArray[np.float32], list[tuple[int, int, int]], npt.NDArray[np.int64]]:
    """Patches of the distinct spans, their grids, and for every vision token of the spans its row of tower output.

    A video shown twice is read once, even where its frames lie at other distances in time: the tower knows no seconds.
    """
    if not spans:
        return np.zeros((4, PATCH_DIM), dtype=np.float32), [_BLANK_GRID], np.zeros(0, dtype=np.int64)
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
