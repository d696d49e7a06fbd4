"""`PackedBatch`: one row of whole Comparisons as tensors, and the one function that makes it.

Legend: T tokens of the row, V image tokens, P vision patches, I distinct images, R responses.

A `BlockLayout` says where the Comparisons of a packed row stand, and who may attend to whom. A row is a sequence of
Comparisons, each laid out as [prefix | response 1 | ... | response K].
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.errors import RunError
from rm_core.batches.labels import Labels, labels_of
from rm_core.batches.pixels import ImageLoader, distinct_images, patches_of
from rm_core.batches.positions import RowFormat, comparison_positions

__all__ = ["Block", "BlockLayout", "PackedBatch", "block_mask", "collate"]


@dataclass(frozen=True, slots=True)
class Block:
    """Where one Comparison stands in the row, in tokens."""

    start: int
    prefix_length: int
    response_lengths: tuple[int, ...]

    @property
    def length(self) -> int:
        return self.prefix_length + sum(self.response_lengths)

    @property
    def stop(self) -> int:
        return self.start + self.length


@dataclass(frozen=True, slots=True)
class BlockLayout:
    """The blocks of a row in order, covering it without gaps: the description of its attention mask."""

    blocks: tuple[Block, ...]

    @property
    def num_tokens(self) -> int:
        return self.blocks[-1].stop if self.blocks else 0


def block_mask(block: Block, device: torch.device) -> Tensor:
    """The rule as a matrix: causal, and (key in the prefix, or key in the query's own response)."""
    lengths = torch.tensor((block.prefix_length, *block.response_lengths), device=device)
    segment = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
    token = torch.arange(block.length, device=device)
    causal = token[:, None] >= token[None, :]
    return causal & ((segment[None, :] == 0) | (segment[:, None] == segment[None, :]))


_NONE = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One packed row.

    Attributes:
        ids: ids of the Comparisons in the row, for messages and health reports.
        layout: where each Comparison, prefix and response stands.
        input_ids: int64 [T].
        position_ids: int64 [3, T], M-RoPE time, height, width.
        pixel_values: float32 [P, 1176], distinct images only; a row without images holds one blank 28 x 28 image.
        image_grid: int64 [I, 3], (pairs of frames, rows, columns) in patches; always on the CPU.
        image_token_index: int64 [V], indices of image tokens in the row.
        image_feature_index: int64 [V], which row of the tower's output stands there; two spans may share one image.
        reward_index: int64 [R], index of each response's last token.
        labels: ranks, scores, lengths and ordered pairs of the judged responses; always on the CPU.
        num_responses: responses of each Comparison; sums to R.
        num_patches: vision patches of all spans as shown: an image shown twice counts twice.
        num_filler: tokens at the end that belong to no Comparison.
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
    num_patches: int
    num_filler: int

    @property
    def num_tokens(self) -> int:
        """Tokens of Comparisons, without fillers."""
        return self.layout.num_tokens - self.num_filler

    @property
    def num_distinct_patches(self) -> int:
        """Patches that the tower reads for a reason: without the blank image of a row that has none."""
        return len(self.pixel_values) if len(self.image_token_index) else 0

    @property
    def num_comparisons(self) -> int:
        return len(self.ids)

    def to(self, device: torch.device) -> "PackedBatch":
        """The batch with its tensors on `device`, all but grids and labels: Python reads them, and would wait."""
        moved: dict[str, Any] = {
            field.name: value.to(device, non_blocking=True)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor) and field.name != "image_grid"
        }
        return replace(self, **moved)


def collate(
    comparisons: Sequence[EncodedComparison], *, row_format: RowFormat, load_image: ImageLoader = patches_of
) -> PackedBatch:
    """Lay Comparisons out in one row. No Comparison at all gives a row of fillers, for a rank's idle turn.

    Args:
        row_format: of the backbone that will read the row.
        load_image: image -> patches [patches, 1176]; called once per distinct image of the row.

    Raises:
        RunError: a Comparison has images and the backbone reads text only.
    """
    spans = [span for item in comparisons for span in item.images]
    if spans and not row_format.has_vision:
        raise RunError(f"the backbone reads text only, but {ids_of(comparisons)} have images: give it text only")
    blocks = _blocks(comparisons)
    segments = [ids for item in comparisons for ids in (item.prefix_ids, *item.response_ids)]
    input_ids = np.concatenate([_NONE, *segments])
    positions = [comparison_positions(item, row_format) for item in comparisons]
    pixels, grid, features = distinct_images(spans, load_image)
    token_index = np.flatnonzero(np.isin(input_ids, (row_format.image_token, row_format.video_token)))
    if len(token_index) != len(features):
        raise ValueError(f"{len(token_index)} image tokens but {len(features)} image features in {ids_of(comparisons)}")
    filler = -len(input_ids) % row_format.alignment or row_format.alignment * (not comparisons)
    if filler:
        blocks = (*blocks, Block(len(input_ids), filler, ()))
        positions.append(np.tile(np.arange(filler, dtype=np.int64), (3, 1)))
    return PackedBatch(
        ids=ids_of(comparisons),
        layout=BlockLayout(blocks),
        input_ids=torch.from_numpy(np.pad(input_ids, (0, filler)).astype(np.int64)),
        position_ids=torch.from_numpy(np.concatenate(positions, axis=1)),
        pixel_values=torch.from_numpy(pixels),
        image_grid=torch.tensor(grid, dtype=torch.int64),
        image_token_index=torch.from_numpy(token_index),
        image_feature_index=torch.from_numpy(features),
        reward_index=torch.tensor([end for block in blocks for end in _last_tokens(block)], dtype=torch.int64),
        labels=labels_of(comparisons),
        num_responses=tuple(len(item.response_ids) for item in comparisons),
        num_patches=sum(span.num_patches for span in spans),
        num_filler=filler,
    )


def _blocks(comparisons: Sequence[EncodedComparison]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for item in comparisons:
        start = blocks[-1].stop if blocks else 0
        blocks.append(Block(start, len(item.prefix_ids), tuple(len(part) for part in item.response_ids)))
    return tuple(blocks)


def ids_of(comparisons: Sequence[EncodedComparison]) -> tuple[str, ...]:
    """Ids in the order of the row."""
    return tuple(item.id for item in comparisons)


def _last_tokens(block: Block) -> list[int]:
    ends = np.cumsum(block.response_lengths) + block.start + block.prefix_length - 1
    return [int(end) for end in ends]
