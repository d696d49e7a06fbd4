"""What a vision tower reads of its images' grids, as tensors that are made beside the row, on the CPU.

Patches stand image by image, step by step of a video, and the 2 x 2 patches of a token together. A tower with windows
reads them window by window. Sequences (windows, frames) of one length attend in one call.
Legend: P patches, V tokens (P / 4).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Groups", "VisionIndices", "groups_of", "vision_indices_of"]

_MERGE = 2
Grid = tuple[int, int, int]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Groups:
    """Sequences that stand one behind the other and attend to themselves only, grouped by length.

    Attributes:
        lengths: of each group, in patches.
        gathered: int64, the patches of each group; none where all sequences are of one length.
        back: int64 [P], brings the groups' patches, one group behind the other, back into their order; or None.
    """

    lengths: tuple[int, ...]
    gathered: tuple[Tensor, ...]
    back: Tensor | None


@dataclass(frozen=True, slots=True)
class VisionIndices:
    """Where each patch stands, and with whom it attends.

    Attributes:
        positions: int64 [P, 2], row and column, in the order in which the tower reads the patches.
        order: int64 [V], the token that the tower reads at each place; None: it has no windows, and reads them as
            they come.
        back: int64 [V], brings features into the order of the images; or None.
        frames, windows: of patches in the tower's order; equal where there are no windows.
        places: int64 [P, 4], the entries of the tower's table of places between which each patch lies; None: it has
            none. `shares`: float32 [P, 4], how much each of them counts.
    """

    positions: Tensor
    order: Tensor | None
    back: Tensor | None
    frames: Groups
    windows: Groups
    places: Tensor | None = None
    shares: Tensor | None = None


def groups_of(lengths: Sequence[int]) -> Groups:
    """Of sequences of these lengths, in order."""
    indices: dict[int, list[Integers]] = {}
    start = 0
    for length in lengths:
        indices.setdefault(length, []).append(np.arange(start, start + length))
        start += length
    if len(indices) == 1:
        return Groups(tuple(indices), (), None)
    gathered = [np.concatenate(group) for group in indices.values()]
    back = torch.from_numpy(np.argsort(np.concatenate(gathered)))
    return Groups(tuple(indices), tuple(map(torch.from_numpy, gathered)), back)


def vision_indices_of(grids: Sequence[Grid], window: int, places: int = 0) -> VisionIndices:
    """Of images and videos with these grids, (steps, rows, columns) in patches.

    Args:
        window: side of a window in tokens; 0: none.
        places: side of the tower's table of places; 0: it has none. No tower has both.
    """
    positions = np.concatenate([_positions(grid) for grid in grids])
    frames = groups_of([rows * columns for steps, rows, columns in grids for _ in range(steps)])
    if not window:
        learnt = _learnt_places(positions, grids, places) if places else (None, None)
        return VisionIndices(torch.from_numpy(positions), None, None, frames, frames, *learnt)
    windows = _window_of_each_token(grids, window)
    order = np.argsort(windows, kind="stable")
    by_token = positions.reshape(-1, _MERGE * _MERGE, 2)[order].reshape(-1, 2)
    lengths = np.bincount(windows) * _MERGE**2
    return VisionIndices(
        positions=torch.from_numpy(by_token),
        order=torch.from_numpy(order),
        back=torch.from_numpy(np.argsort(order)),
        frames=frames,
        windows=groups_of(lengths.tolist()),
    )


def _positions(grid: Grid) -> Integers:
    """[patches, 2]: (row, column), the patches of a token together, the same for every step of a video."""
    steps, rows, columns = grid
    places = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1)
    blocks = places.reshape(rows // _MERGE, _MERGE, columns // _MERGE, _MERGE, 2).transpose(0, 2, 1, 3, 4)
    return np.tile(blocks.reshape(-1, 2), (steps, 1))


def _learnt_places(positions: Integers, grids: Sequence[Grid], side: int) -> tuple[Tensor, Tensor]:
    """Entries of a table of `side` x `side` places and their shares, [P, 4] each: each picture covers the whole table,
    corner to corner, and between its entries it is read bilinearly. In float32, as Transformers does it.
    """
    counts = [steps * rows * columns for steps, rows, columns in grids]
    lengths = np.repeat(np.array([grid[1:] for grid in grids], dtype=np.float32), counts, axis=0)
    exact = positions.astype(np.float32) * np.float32(side - 1) / np.maximum(lengths - 1, np.float32(1))
    floor = np.floor(exact)
    corners = floor[..., None] + np.arange(2, dtype=np.float32)  # [P, 2 axes, 2]
    weights = np.maximum(1 - np.abs(exact[..., None] - corners), np.float32(0))
    taps = np.minimum(corners, side - 1).astype(np.int64)
    places = taps[:, 0, :, None] * side + taps[:, 1, None, :]
    shares = weights[:, 0, :, None] * weights[:, 1, None, :]
    return torch.from_numpy(places.reshape(-1, 4)), torch.from_numpy(shares.reshape(-1, 4))


def _window_of_each_token(grids: Sequence[Grid], window: int) -> Integers:
    """[V]: windows are counted up image by image, step by step, row by row."""
    numbers, first = [], 0
    for steps, rows, columns in grids:
        row, column = np.arange(rows // _MERGE) // window, np.arange(columns // _MERGE) // window
        a_row, a_step = column[-1] + 1, (row[-1] + 1) * (column[-1] + 1)
        number = np.arange(steps)[:, None, None] * a_step + row[:, None] * a_row + column
        numbers.append(first + number.ravel())
        first += steps * int(a_step)
    return np.concatenate(numbers)
