"""M-RoPE positions of a Comparison, made explicitly (guessing them from masks is what goes wrong in packed rows).

Every token has three positions: time, height, width. Text counts all three up together; an image holds time still and
counts rows and columns of its merged patches; what follows an image starts after its largest position. Responses all
start where the prefix ends, as if each stood alone behind it. (Qwen2-VL, arXiv 2409.12191, section 2.1.)
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from data_pipeline.encode import EncodedComparison
from rm_core.batches.row_format import RowFormat

__all__ = ["comparison_positions", "segment_positions"]

IntArray = npt.NDArray[np.int64]
MergedGrid = tuple[int, int]
"""Rows and columns of an image in tokens (28 x 28 pixels each)."""


def segment_positions(
    ids: npt.NDArray[np.int32], grids: Sequence[MergedGrid], *, image_token: int, start: int
) -> tuple[IntArray, int]:
    """Positions [3, len(ids)] of one segment and the position after it.

    Args:
        ids: tokens of the segment; each image is a run of `image_token`.
        grids: the segment's images in order.
        start: position of the first token.

    Raises:
        ValueError: the runs of image tokens and the grids do not match.

    A text token, an image of 2 x 2 tokens and a text token, from 0:
    time 0 1 1 1 1 3, height 0 1 1 2 2 3, width 0 1 2 1 2 3.
    """
    out = np.empty((3, len(ids)), dtype=np.int64)
    cursor, position, remaining = 0, start, iter(grids)
    while cursor < len(ids):
        if ids[cursor] == image_token:
            grid = next(remaining, None)
            size = 0 if grid is None else grid[0] * grid[1]
            if grid is None or not np.all(ids[cursor : cursor + size] == image_token) or cursor + size > len(ids):
                raise ValueError(f"image token at {cursor} has no image of matching size: grids {list(grids)}")
            rows, columns = grid
            out[0, cursor : cursor + size] = position
            out[1, cursor : cursor + size] = position + np.repeat(np.arange(rows), columns)
            out[2, cursor : cursor + size] = position + np.tile(np.arange(columns), rows)
            cursor, position = cursor + size, position + max(rows, columns)
        else:
            image_ahead = np.flatnonzero(ids[cursor:] == image_token)
            size = int(image_ahead[0]) if image_ahead.size else len(ids) - cursor
            out[:, cursor : cursor + size] = position + np.arange(size)
            cursor, position = cursor + size, position + size
    if next(remaining, None) is not None:
        raise ValueError(f"more images than image spans: grids {list(grids)}")
    return out, position


def comparison_positions(comparison: EncodedComparison, row_format: RowFormat) -> IntArray:
    """Positions [3, L] of [prefix | response 1 | ... | response K].

    Raises:
        ValueError: the runs of image tokens and the images do not match.
    """
    image_token = row_format.image_token
    grids = [(image.grid[1] // 2, image.grid[2] // 2) for image in comparison.images]
    taken = _num_spans(comparison.prefix_ids, image_token)
    prefix, after = segment_positions(comparison.prefix_ids, grids[:taken], image_token=image_token, start=0)
    pieces = [prefix]
    for ids in comparison.response_ids:
        count = _num_spans(ids, image_token)
        piece, _ = segment_positions(ids, grids[taken : taken + count], image_token=image_token, start=after)
        pieces.append(piece)
        taken += count
    if taken != len(grids):
        raise ValueError(f"{len(grids)} images, but {taken} image spans in the tokens")
    return np.concatenate(pieces, axis=1)


def _num_spans(ids: npt.NDArray[np.int32], image_token: int) -> int:
    """Runs of image tokens; runs never touch, since each stands between <|vision_start|> and <|vision_end|>."""
    inside = np.concatenate(([False], ids == image_token))
    return int(np.count_nonzero(inside[1:] & ~inside[:-1]))
