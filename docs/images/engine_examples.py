"""Small examples and what the code says of them: rows, masks, tiles, pairs."""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import numpy as np
import numpy.typing as npt
import torch
from svg_canvas import PROMPT, RESPONSES, Matrix, runs

from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage, EncodedVideo, VisionSpan
from rm_core.batches.attention_indices import MAKERS, TILE, sequences_of
from rm_core.batches.layout import Block, BlockLayout, block_mask
from rm_core.batches.positions import RowFormat
from rm_core.model.attention import sdpa
from rm_core.model.attention.flex import block_mask_of

__all__ = [
    "ROW_FORMAT", "allowed_shape", "comparison", "flash_pairs", "image", "layout_of", "mask_of", "sdpa_pairs",
    "segments_of", "tiles_of",
]  # fmt: skip

IMAGE, VIDEO, START, END, WORD = 1, 2, 3, 4, 5
ROW_FORMAT = RowFormat(
    image_token=IMAGE, video_token=VIDEO, time_per_second=2.0, alignment=TILE, attention="flex", window=4
)

Frames = list[tuple[int, int, int, int]]
"""(first query, query behind, first key, key behind) of the outlines of calls and sequences."""


def image(name: str, height: int, width: int) -> EncodedImage:
    """A picture of so many rows and columns of tokens."""
    return EncodedImage(key=name, data=b"", height=28 * height, width=28 * width)


def tokens(*parts: int | VisionSpan) -> npt.NDArray[np.int32]:
    """So many words, or an image or video between its marks."""
    ids: list[int] = []
    for part in parts:
        if isinstance(part, int):
            ids += [WORD] * part
        else:
            ids += [START, *[VIDEO if isinstance(part, EncodedVideo) else IMAGE] * part.num_tokens, END]
    return np.array(ids, dtype=np.int32)


def comparison(
    name: str, prefix: Sequence[int | VisionSpan], *responses: Sequence[int | VisionSpan]
) -> EncodedComparison:
    """A Comparison with responses in falling order."""
    spans = [part for parts in (prefix, *responses) for part in parts if not isinstance(part, int)]
    return EncodedComparison(
        id=name, source="drawn", split="train", prefix_ids=tokens(*prefix),
        response_ids=tuple(tokens(*parts) for parts in responses), ranks=tuple(range(len(responses))),
        scores=(None,) * len(responses), images=tuple(spans),
    )  # fmt: skip


def layout_of(*sizes: tuple[int, tuple[int, ...]]) -> BlockLayout:
    """Comparisons of these prefixes and responses, filled up as for FlexAttention."""
    starts = accumulate((prefix + sum(responses) for prefix, responses in sizes), initial=0)
    blocks = [Block(start, *size) for start, size in zip(starts, sizes, strict=False)]
    if filler := -blocks[-1].stop % TILE:
        blocks.append(Block(blocks[-1].stop, filler, ()))
    return BlockLayout(tuple(blocks))


def segments_of(block: Block) -> list[tuple[int, int, str, str]]:
    """(first token, token behind, colour, name) of a block's prefix and responses."""
    lengths = (block.prefix_length, *block.response_lengths)
    edges = list(accumulate(lengths, initial=block.start))
    names = ["prompt", *(f"{place}" for place in range(1, len(lengths)))]
    fills = [PROMPT, *RESPONSES][: len(lengths)]
    return [(*edge, fill, name) for edge, fill, name in zip(pairwise(edges), fills, names, strict=True)]


def mask_of(layout: BlockLayout) -> Matrix:
    """The whole row's mask [T, T]."""
    mask = np.zeros((layout.num_tokens,) * 2, dtype=np.bool_)
    for block in layout.blocks:
        mask[block.start : block.stop, block.start : block.stop] = block_mask(block).numpy()
    return mask


def allowed_shape(layout: BlockLayout, left: float, top: float, scale: float) -> list[tuple[str, str]]:
    """(colour, path) of what may be seen, for each prefix and response as the seen ones: a triangle and a rectangle."""
    shapes = []
    for block in layout.blocks:
        (_, prefix_stop, *_), *_ = segments_of(block)
        for start, stop, fill, _ in segments_of(block):
            side, x, y = scale * (stop - start), left + scale * start, top + scale * start
            path = f"M{x:g} {y:g}v{side:g}h{side:g}z"
            if start == block.start:
                path += f"M{x:g} {y + side:g}h{side:g}v{scale * (block.stop - prefix_stop):g}h-{side:g}z"
            shapes.append((fill, path))
    return shapes


def tiles_of(layout: BlockLayout) -> tuple[Matrix, Matrix]:
    """(partial, full) tiles [N, N] of FlexAttention's block mask."""
    mask = block_mask_of(layout.num_tokens, MAKERS["flex"](layout))
    side = layout.num_tokens // TILE
    found = []
    assert mask.full_kv_num_blocks is not None and mask.full_kv_indices is not None
    for counts, listed in ((mask.kv_num_blocks, mask.kv_indices), (mask.full_kv_num_blocks, mask.full_kv_indices)):
        tiles = np.zeros((side, side), dtype=np.bool_)
        for row in range(side):
            tiles[row, listed[0, 0, row, : int(counts[0, 0, row])].tolist()] = True
        found.append(tiles)
    return found[0], found[1]


def sdpa_pairs(block: Block) -> tuple[Matrix, Frames]:
    """A causal sequence of prefix and first response, and a call over all the others with a mask."""
    masks: list[torch.Tensor] = sdpa.prepare(BlockLayout((block,)), MAKERS["sdpa"](BlockLayout((block,)))).args[1]
    queries, keys = masks[0].shape
    first, prefix = block.length - queries, keys - queries
    pairs = np.tri(block.length, dtype=np.bool_)
    pairs[first:, :prefix] = pairs[first:, first:] = True
    pairs[first:, prefix:first] = False
    stop = block.length
    return pairs, [(0, first, 0, first), (first, stop, 0, prefix), (first, stop, first, stop)]


def flash_pairs(block: Block) -> tuple[Matrix, Frames]:
    """Sequences of queries and gathered keys, causal and aligned at the end."""
    sequences = sequences_of(BlockLayout((block,)))
    pairs, frames = np.zeros((block.length,) * 2, dtype=np.bool_), []
    for (q, q_end), (k, k_end) in zip(
        pairwise(sequences.query_starts.tolist()), pairwise(sequences.key_starts.tolist()), strict=True
    ):
        keys = sequences.key_index[k:k_end].tolist()
        for query in range(q, q_end):
            pairs[query, keys[: len(keys) - (q_end - 1 - query)]] = True
        frames += [(q, q_end, run[0], run[-1] + 1) for run in runs(keys)]
    return pairs, frames
