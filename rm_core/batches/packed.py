"""`PackedBatch`: one row of whole Comparisons as tensors, and the one function that makes it.

Whatever Python would read from a row to run the model is made here, on the CPU, so that a GPU is never waited for.
Legend: T tokens of the row, V image tokens, P vision patches, I distinct images, R responses, S their tokens.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison, VisionSpan
from data_pipeline.errors import RunError
from rm_core.batches.attention_indices import MAKERS, AttentionIndices
from rm_core.batches.known_prefixes import WholeRow, whole_row, without_prefix
from rm_core.batches.labels import Labels, labels_of
from rm_core.batches.layout import Block, BlockLayout
from rm_core.batches.pixels import ImageLoader, distinct_images, patches_of
from rm_core.batches.positions import RowFormat, comparison_positions
from rm_core.batches.targets import Targets, targets_of
from rm_core.batches.tensors import map_tensors
from rm_core.batches.verdicts import Verdicts, verdict_targets, verdicts_of
from rm_core.batches.vision_indices import VisionIndices, vision_indices_of

__all__ = ["PackedBatch", "ResponseTokens", "collate", "with_indices"]


_NONE = np.zeros(0, dtype=np.int32)


@dataclass(frozen=True, slots=True)
class ResponseTokens:
    """All tokens of all responses.

    Attributes:
        index: int64 [S], where they stand in the row.
        owner: int64 [S], the response of each.
        lengths: int64 [R, 1], how many each response has.
    """

    index: Tensor
    owner: Tensor
    lengths: Tensor


@dataclass(frozen=True, slots=True)
class PackedBatch:
    """One packed row.

    Attributes:
        ids: ids of the Comparisons in the row, for messages and health reports.
        layout: where each Comparison, prefix and response stands.
        input_ids: int64 [T].
        position_ids: int64 [3, T], M-RoPE time, height, width; all three equal for a backbone without.
        pixel_values: [P, 1176], [P, 1536] for Qwen3-VL or [P, 588] for InternVL, in the type that the model computes
            in, distinct images only; a row without images holds one blank image of one token.
        image_grid: int64 [I, 3], (pairs of frames or tiles, rows, columns) in patches; always on the CPU.
        image_token_index: int64 [V], indices of image tokens in the row.
        image_feature_index: int64 [V], which row of the tower's output stands there; two spans may share one image.
        reward_index: int64 [R], index of each response's last token.
        labels: ranks, scores, lengths and ordered pairs of the judged responses; always on the CPU.
        num_responses: responses of each Comparison, of a judge its answers; sums to R.
        num_patches: vision patches of all spans as shown: an image shown twice counts twice.
        num_filler: tokens at the end that belong to no Comparison.
        attention: the layout as the attention kernel reads it.
        vision: the grids as the tower reads them; None for a backbone that reads text only, or tiles of one size.
        responses: the responses' tokens.
        targets: tokens that the model shall write; None where it writes nothing.
        verdicts: of a judge, which answers each response of the row asks about; labels are the answers'.
        whole: of a row that leaves out prefixes whose keys and values are known, the row with them.
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
    attention: AttentionIndices | None = None
    vision: VisionIndices | None = None
    responses: ResponseTokens | None = None
    targets: Targets | None = None
    verdicts: Verdicts | None = None
    whole: WholeRow | None = None

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
            field.name: map_tensors(getattr(self, field.name), lambda value: value.to(device, non_blocking=True))
            for field in fields(self)
            if field.name not in ("image_grid", "labels")
        }
        return replace(self, **moved)


def collate(
    comparisons: Sequence[EncodedComparison], *, row_format: RowFormat, load_image: ImageLoader = patches_of,
    known: Collection[int] = (),
) -> PackedBatch:  # fmt: skip
    """Lay Comparisons out in one row. No Comparison at all gives a row of fillers, for a rank's idle turn.

    Args:
        row_format: of the backbone that will read the row.
        load_image: image -> patches as `patches_of` gives them; called once per distinct image of the row.
        known: places of Comparisons whose prefix is left out, with its images, since its keys and values are known.

    Raises:
        RunError: a Comparison has images and the backbone reads text only, or images prepared for another family; or
            it is longer than the backbone reads.
    """
    _check_readable(comparisons, [span for item in comparisons for span in item.images], row_format)
    positions = [comparison_positions(item, row_format) for item in comparisons]
    left_out = [len(item.prefix_ids) if place in known else 0 for place, item in enumerate(comparisons)]
    pads = (row_format.image_token, row_format.video_token)
    comparisons = [without_prefix(item, pads) if n else item for item, n in zip(comparisons, left_out, strict=True)]
    positions = [all_[:, n:] for all_, n in zip(positions, left_out, strict=True)]
    spans = [span for item in comparisons for span in item.images]
    blocks = _blocks(comparisons)
    segments = [ids for item in comparisons for ids in (item.prefix_ids, *item.response_ids)]
    input_ids = np.concatenate([_NONE, *segments])
    pixels, grid, features = distinct_images(spans, load_image, row_format.images)
    token_index = np.flatnonzero(np.isin(input_ids, pads))
    if len(token_index) != len(features):
        raise ValueError(f"{len(token_index)} image tokens but {len(features)} image features in {ids_of(comparisons)}")
    filler = -(sum(left_out) + len(input_ids)) % row_format.alignment or row_format.alignment * (not comparisons)
    if filler:
        blocks = (*blocks, Block(len(input_ids), filler, ()))
        positions.append(np.tile(np.arange(filler, dtype=np.int64), (3, 1)))
    batch = PackedBatch(
        ids=ids_of(comparisons),
        layout=BlockLayout(blocks),
        input_ids=torch.from_numpy(np.pad(input_ids, (0, filler)).astype(np.int64)),
        position_ids=torch.from_numpy(np.concatenate(positions, axis=1)),
        pixel_values=torch.from_numpy(pixels).to(row_format.pixels),
        image_grid=torch.tensor(grid, dtype=torch.int64),
        image_token_index=torch.from_numpy(token_index),
        image_feature_index=torch.from_numpy(features),
        reward_index=_ends_of(blocks),
        labels=labels_of(comparisons),
        num_responses=tuple(len(item.answer_lengths) for item in comparisons),
        num_patches=sum(span.num_patches for span in spans),
        num_filler=filler,
        targets=_targets_of(comparisons, blocks, row_format),
        verdicts=verdicts_of(comparisons) if row_format.verdicts else None,
        whole=whole_row(blocks, left_out) if any(left_out) else None,
    )
    return with_indices(batch, row_format)


def _check_readable(
    comparisons: Sequence[EncodedComparison], spans: Sequence[VisionSpan], row_format: RowFormat
) -> None:
    if spans and not row_format.has_vision:
        raise RunError(f"the backbone reads text only, but {ids_of(comparisons)} have images: give it text only")
    if others := {span.format for span in spans} - {row_format.images}:
        raise RunError(
            f"the backbone sees pictures as {row_format.images.name!r}, and those of {ids_of(comparisons)} were "
            f"prepared for {', '.join(sorted(one.name for one in others))}: preprocess them with "
            f"preprocess.encode.family={row_format.images.name}"
        )
    most = row_format.longest
    if most is not None and (longer := [item.id for item in comparisons if item.length > most]):
        raise RunError(
            f"{longer} have more than {most:,} tokens of prompt and answer, from where on the backbone changes its "
            f"rotary frequencies with the length of a text: set preprocess.rules.max_tokens={most} at most"
        )


def with_indices(batch: PackedBatch, row_format: RowFormat) -> PackedBatch:
    """The row, whatever made it, with the indices that a backbone and an attention kernel read."""
    # Not the labels' lengths: they count a response that is in two judgements twice.
    sizes = [length for block in batch.layout.blocks for length in block.response_lengths]
    lengths = torch.tensor(sizes, dtype=torch.int64)
    # The responses of a Comparison stand one behind the other.
    spans = [np.arange(block.start + block.prefix_length, block.stop) for block in batch.layout.blocks]
    index = np.concatenate([np.zeros(0, dtype=np.int64), *spans])
    vision = None
    if row_format.has_vision and not row_format.images.tile:
        grids = [(int(steps), int(rows), int(columns)) for steps, rows, columns in batch.image_grid.tolist()]
        vision = vision_indices_of(grids, row_format.window, row_format.places)
    return replace(
        batch,
        attention=MAKERS[row_format.attention](batch.layout if batch.whole is None else batch.whole.layout),
        vision=vision,
        responses=ResponseTokens(torch.from_numpy(index), torch.repeat_interleave(lengths), lengths[:, None]),
    )


def _blocks(comparisons: Sequence[EncodedComparison]) -> tuple[Block, ...]:
    blocks: list[Block] = []
    for item in comparisons:
        start = blocks[-1].stop if blocks else 0
        blocks.append(Block(start, len(item.prefix_ids), tuple(len(part) for part in item.response_ids)))
    return tuple(blocks)


def _targets_of(
    comparisons: Sequence[EncodedComparison], blocks: Sequence[Block], row_format: RowFormat
) -> Targets | None:
    """What the model shall write, where it writes."""
    if not row_format.targets:
        return None
    if not row_format.verdicts:
        return targets_of(comparisons, blocks)
    return verdict_targets(comparisons, blocks, _ends_of(blocks))


def ids_of(comparisons: Sequence[EncodedComparison]) -> tuple[str, ...]:
    """Ids in the order of the row."""
    return tuple(item.id for item in comparisons)


def _ends_of(blocks: Sequence[Block]) -> Tensor:
    """Where each response of the row ends."""
    return torch.tensor([end for block in blocks for end in _last_tokens(block)], dtype=torch.int64)


def _last_tokens(block: Block) -> list[int]:
    ends = np.cumsum(block.response_lengths) + block.start + block.prefix_length - 1
    return [int(end) for end in ends]
