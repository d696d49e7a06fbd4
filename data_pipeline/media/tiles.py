"""A picture as square tiles and a small copy of itself, as InternVL is shown it (arXiv 2404.16821, section 3.2).

    1280 x 720 pixels -> a canvas of 3 x 2 tiles, 1344 x 896 -> 6 tiles, row by row -> and the picture at 448 x 448

The grid of tiles is the one whose shape is nearest to the picture's; of two that are equally near the one with more
tiles, unless its area is twice the picture's or more.
"""

from functools import lru_cache

import numpy as np
import numpy.typing as npt
import PIL.Image

from data_pipeline.media.pixels import decode_rgb

__all__ = ["tile_canvas", "tiled_rgb"]


def tile_canvas(
    height: int, width: int, *, side: int = 448, min_tiles: int = 1, max_tiles: int = 12
) -> tuple[int, int]:
    """(height, width) to which a picture is resized before it is cut: 720 x 1280 -> 896 x 1344.

    Equal to what the Hugging Face processor of InternVL chooses.

    Args:
        side: of a tile, in pixels.
        min_tiles, max_tiles: bounds of their number, the small copy not counted.
    """
    shape, area = width / height, width * height
    nearest, found = float("inf"), (1, 1)
    for rows, columns in _grids(min_tiles, max_tiles):
        distance = abs(shape - columns / rows)
        if distance < nearest or (distance == nearest and area > 0.5 * side * side * rows * columns):
            nearest, found = distance, (rows, columns)
    return found[0] * side, found[1] * side


@lru_cache(maxsize=32)
def _grids(least: int, most: int) -> list[tuple[int, int]]:
    """(rows, columns) with `least` to `most` tiles: those with fewer first, then those with fewer columns."""
    grids = [
        (rows, columns)
        for columns in range(1, most + 1)
        for rows in range(1, most // columns + 1)
        if rows * columns >= least
    ]
    return sorted(grids, key=lambda grid: grid[0] * grid[1])


def tiled_rgb(data: bytes, height: int, width: int, side: int) -> npt.NDArray[np.uint8]:
    """The tiles of the decoded picture resized to (height, width), row by row; where there are several, the picture at
    the size of one tile behind them: uint8 [tiles, side, side, 3], resampled as the Hugging Face processor does.

    Raises:
        RecordError: as for `decode_rgb`.
    """
    picture = decode_rgb(data)
    canvas = _at(picture, width, height)
    cut = canvas.reshape(height // side, side, width // side, side, 3).swapaxes(1, 2).reshape(-1, side, side, 3)
    return cut if len(cut) == 1 else np.concatenate([cut, _at(picture, side, side)[None]])


def _at(picture: PIL.Image.Image, width: int, height: int) -> npt.NDArray[np.uint8]:
    return np.array(picture.resize((width, height), PIL.Image.Resampling.BICUBIC))
