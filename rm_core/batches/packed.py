"""`PackedBatch`: one row of whole Comparisons as tensors, and the one function that makes it.

Legend: T tokens of the row, V image tokens, P vision patches, I distinct images, R responses, N ordered pairs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from data_pipeline.encode import EncodedComparison, EncodedImage
from rm_core.batches.layout import Block, BlockLayout
from rm_core.batches.pixels import PATCH_DIM, patches_of
from rm_core.batches.positions import comparison_positions

__all__ = ["PackedBatch", "collate"]

ImageLoader = Callable[[EncodedImage], npt.NDArray[np.float32]]
_BLANK_GRID = (1, 2, 2)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One packed row.

    Attributes:
        ids: ids of the Comparisons in the row, for messages and health reports.
        layout: where each Comparison, prefix and response stands.
        input_ids: int64 [T].
        position_ids: int64 [3, T], M-RoPE time, height, width.
        pixel_values: float32 [P, 1176], distinct images only; a row without images holds one blank 28 x 28 image.
        image_grid: int64 [I, 3], (1, rows, columns) in patches.
        image_token_index: int64 [V], places of image tokens in the row.
        image_feature_index: int64 [V], which row of the tower's output stands there; two spans may share one image.
        reward_index: int64 [R], place of each response's last token.
        pairs: int64 [2, N], (better, worse) as indices into the R responses.
        num_responses: responses of each Comparison; sums to R.
    """

    ids: tuple[str, ...]
    layout: BlockLayout
    input_ids: Tensor
    position_ids: Tensor
    pixel_values: Tensor
    image_grid: Tensor
    image_token_index: Tensor
    image_feature_index: Tensor
    reward_index: Tensor
    pairs: Tensor
    num_responses: tuple[int, ...]

    @property
    def num_tokens(self) -> int:
        """Tokens of Comparisons, without the filler of an empty row."""
        return self.layout.num_tokens if self.ids else 0

    @property
    def num_comparisons(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "PackedBatch":
        """The batch with every tensor on `device`."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        return replace(self, **moved)


def collate(
    comparisons: Sequence[EncodedComparison], *, image_token: int, load_image: ImageLoader = patches_of
) -> PackedBatch:
    """Lay Comparisons out in one row. No Comparison at all gives a row of one filler token, for a rank's idle turn.

    Args:
        image_token: id of ``<|image_pad|>``.
        load_image: image -> patches [patches, 1176]; called once per distinct image of the row.
    """
    blocks: list[Block] = []
    reward_index: list[int] = []
    ids, positions, pairs, start = [], [], [], 0
    for item in comparisons:
        grids = [(image.grid[1] // 2, image.grid[2] // 2) for image in item.images]
        block = Block(start, len(item.prefix_ids), tuple(len(part) for part in item.response_ids))
        pairs.append(_ordered_pairs(item.ranks) + len(reward_index))
        ids += [item.prefix_ids, *item.response_ids]
        positions.append(comparison_positions(item.prefix_ids, item.response_ids, grids, image_token=image_token))
        reward_index += _last_tokens(block)
        blocks.append(block)
        start = block.stop
    if not comparisons:
        blocks, ids, positions = [Block(0, 1, ())], [np.zeros(1, dtype=np.int32)], [np.zeros((3, 1), dtype=np.int64)]
    input_ids = np.concatenate(ids).astype(np.int64)
    pixels, grid, features = _images([image for item in comparisons for image in item.images], load_image)
    token_index = np.flatnonzero(input_ids == image_token) if comparisons else np.zeros(0, dtype=np.int64)
    if len(token_index) != len(features):
        raise ValueError(f"{len(token_index)} image tokens but {len(features)} image features in {ids_of(comparisons)}")
    return PackedBatch(
        ids=ids_of(comparisons),
        layout=BlockLayout(tuple(blocks)),
        input_ids=torch.from_numpy(input_ids),
        position_ids=torch.from_numpy(np.concatenate(positions, axis=1)),
        pixel_values=torch.from_numpy(pixels),
        image_grid=torch.tensor(grid, dtype=torch.int64),
        image_token_index=torch.from_numpy(token_index),
        image_feature_index=torch.from_numpy(features),
        reward_index=torch.tensor(reward_index, dtype=torch.int64),
        pairs=torch.from_numpy(np.concatenate(pairs, axis=1) if pairs else np.zeros((2, 0), dtype=np.int64)),
        num_responses=tuple(len(item.response_ids) for item in comparisons),
    )


def ids_of(comparisons: Sequence[EncodedComparison]) -> tuple[str, ...]:
    """Ids in the order of the row."""
    return tuple(item.id for item in comparisons)


def _images(
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


def _last_tokens(block: Block) -> list[int]:
    ends = np.cumsum(block.response_lengths) + block.start + block.prefix_length - 1
    return [int(end) for end in ends]


def _ordered_pairs(ranks: Sequence[int]) -> npt.NDArray[np.int64]:
    """[2, N]: (better, worse); ranks (1, 0, 1) give (1, 0) and (1, 2)."""
    found = [(i, j) for i, a in enumerate(ranks) for j, b in enumerate(ranks) if a < b]
    return np.array(found, dtype=np.int64).reshape(-1, 2).T
