"""Rows that leave out prefixes whose keys and values are known: of those, the responses alone are computed.

    computed       [a b | Q c d]            P is known, Q is not
    whole      [P | a b | Q | c d]          what attention sees, and who may see whom

Positions, images of responses and everything else of a response are the same in both.
Legend: T tokens that are computed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from data_pipeline.encoding.encoded import EncodedComparison, spans_of_parts
from rm_core.batches.layout import Block, BlockLayout

__all__ = ["WholeRow", "whole_row", "without_prefix"]


@dataclass(frozen=True, slots=True)
class WholeRow:
    """A row with the prefixes that are left out of it.

    Attributes:
        layout: of the whole row.
        index: int64 [T], where the tokens that are computed stand in it.
    """

    layout: BlockLayout
    index: Tensor


def without_prefix(item: EncodedComparison, pads: Collection[int]) -> EncodedComparison:
    """The responses alone, with their own images.

    Args:
        pads: tokens of pictures and of videos.

    Raises:
        ValueError: the model shall write a response from its first token on, which the prefix alone predicts.
    """
    if 0 in item.target_starts:
        raise ValueError(f"Comparison {item.id!r} has a target that its prefix predicts: it can't be left out")
    num_images = len(spans_of_parts(item, pads)[0])
    return replace(item, prefix_ids=item.prefix_ids[:0], images=item.images[num_images:])


def whole_row(blocks: Sequence[Block], left_out: Sequence[int]) -> WholeRow:
    """The whole row of a computed one.

    Args:
        blocks: of the computed row, fillers included.
        left_out: of each Comparison, tokens of its prefix that are left out; fillers behind them lack none.
    """
    wholes: list[Block] = []
    index: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    lacking = [*left_out, *[0] * (len(blocks) - len(left_out))]
    for block, lacks in zip(blocks, lacking, strict=True):
        start = wholes[-1].stop if wholes else 0
        wholes.append(Block(start, block.prefix_length + lacks, block.response_lengths))
        index.append(np.arange(start + lacks, wholes[-1].stop))
    return WholeRow(BlockLayout(tuple(wholes)), torch.from_numpy(np.concatenate(index)))
