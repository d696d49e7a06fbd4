"""`PackedBatch`: one row of whole Comparisons as tensors, and the one function that makes it.

Legend: T tokens of the row, V image tokens, P vision patches, I distinct images, R responses.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_pipeline.encode import EncodedComparison
from rm_core.batches.images import ImageLoader, distinct_images
from rm_core.batches.labels import Labels, labels_of
from rm_core.batches.layout import Block, BlockLayout
from rm_core.batches.pixels import patches_of
from rm_core.batches.positions import comparison_positions
from rm_core.batches.row_format import RowFormat

__all__ = ["PackedBatch", "collate"]


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
        labels: ranks, scores, lengths and ordered pairs of the R responses.
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
    labels: Labels
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
        return replace(self, labels=self.labels.to(device), **moved)


def collate(
    comparisons: Sequence[EncodedComparison], *, row_format: RowFormat, load_image: ImageLoader = patches_of
) -> PackedBatch:
    """Lay Comparisons out in one row. No Comparison at all gives a row of one filler token, for a rank's idle turn.

    Args:
        row_format: of the backbone that will read the row.
        load_image: image -> patches [patches, 1176]; called once per distinct image of the row.
    """
    blocks: list[Block] = []
    reward_index: list[int] = []
    ids, positions, start = [], [], 0
    for item in comparisons:
        block = Block(start, len(item.prefix_ids), tuple(len(part) for part in item.response_ids))
        ids += [item.prefix_ids, *item.response_ids]
        positions.append(comparison_positions(item, row_format))
        reward_index += _last_tokens(block)
        blocks.append(block)
        start = block.stop
    if not comparisons:
        blocks, ids, positions = [Block(0, 1, ())], [np.zeros(1, dtype=np.int32)], [np.zeros((3, 1), dtype=np.int64)]
    input_ids = np.concatenate(ids).astype(np.int64)
    pixels, grid, features = distinct_images([image for item in comparisons for image in item.images], load_image)
    vision_tokens = (row_format.image_token, row_format.video_token)
    token_index = np.flatnonzero(np.isin(input_ids, vision_tokens)) if comparisons else np.zeros(0, dtype=np.int64)
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
        labels=labels_of(comparisons),
        num_responses=tuple(len(item.response_ids) for item in comparisons),
    )


def ids_of(comparisons: Sequence[EncodedComparison]) -> tuple[str, ...]:
    """Ids in the order of the row."""
    return tuple(item.id for item in comparisons)


def _last_tokens(block: Block) -> list[int]:
    ends = np.cumsum(block.response_lengths) + block.start + block.prefix_length - 1
    return [int(end) for end in ends]
