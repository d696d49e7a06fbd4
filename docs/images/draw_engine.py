"""Draws the pictures of docs/engine.md from what the code returns for small examples.

    python docs/images/draw_engine.py     # from the project's root; writes docs/images/engine_*.svg

`tests/architecture/test_engine_pictures.py` holds the files to be what this writes.
"""

from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
from engine_examples import (
    END,
    IMAGE,
    ROW_FORMAT,
    START,
    VIDEO,
    allowed_shape,
    comparison,
    flash_pairs,
    image,
    layout_of,
    mask_of,
    sdpa_pairs,
    segments_of,
    tiles_of,
)  # fmt: skip
from svg_canvas import (
    FILLER,
    INK,
    LATER,
    NOTE,
    OTHER_COMPARISON,
    OTHER_RESPONSE,
    PAPER,
    PICTURE,
    PROMPT,
    RESPONSES,
    WASTED,
    Canvas,
    Matrix,
    area,
    runs,
)  # fmt: skip

from data_pipeline.encoding.encoder import EncodedComparison, EncodedVideo, VisionSpan
from rm_core.batches.attention_indices import TILE, token_bounds
from rm_core.batches.layout import Block, BlockLayout
from rm_core.batches.packed import PackedBatch, collate
from rm_core.batches.positions import comparison_positions
from rm_core.packing.row_sizes import attention_pairs

__all__ = ["pictures"]


def pictures() -> dict[str, str]:
    """Every picture by the name of its file."""
    return {
        "engine_row.svg": draw_row(),
        "engine_mask.svg": draw_mask(),
        "engine_kernels.svg": draw_kernels(),
        "engine_positions.svg": draw_positions(),
    }


# The row


def patches_of_nothing(span: VisionSpan) -> np.ndarray:
    """As many zeros as it has numbers."""
    return np.zeros((span.num_patches, span.format.patch_values), "f4")


def draw_row() -> str:
    """Three Comparisons in one row, and the same as separate rows."""
    shared, own = image("shared", 3, 4), image("own", 2, 2)
    items = [
        comparison("A", (7, shared, 3), (7,), (10,)),
        comparison("B", (9,), (4,), (6,), (3,), (5,)),
        comparison("C", (7, shared, 2), (8,), (2, own, 3), (6,)),
    ]
    batch = collate(items, row_format=ROW_FORMAT, load_image=patches_of_nothing)
    canvas = Canvas(470, "A packed row of three Comparisons, and the same as nine padded rows")
    _packed(canvas, batch)
    _separate(canvas, items, batch)
    return canvas.svg()


def _packed(canvas: Canvas, batch: PackedBatch) -> None:
    left, scale, top, height = 34, 6.5, 62, 30
    count = f"{batch.num_comparisons} Comparisons, {batch.num_tokens} tokens"
    canvas.text(left, 24, f"One packed row: {count}, {batch.num_filler} fillers up to a multiple of {TILE}", bold=True)
    for name, block in zip((*batch.ids, "fillers"), batch.layout.blocks, strict=True):
        is_real = name != "fillers"
        for start, stop, fill, label in segments_of(block):
            canvas.box(left + scale * start, top, scale * (stop - start) - 1, height, fill if is_real else FILLER)
            if is_real:
                middle = left + scale * (start + 3.5 if label == "prompt" and stop - start > 9 else (start + stop) / 2)
                canvas.text(middle, top + 20, label, size=13 if label != "prompt" else 11, fill=PAPER, at="middle")
        ends = f"M{left + scale * block.start:g} {top - 4}v-5h{scale * block.length - 1:g}v5"
        canvas.path(ends, stroke=NOTE)
        title = f"Comparison {name}, K = {len(block.response_lengths)}" if is_real else name
        middle = left + scale * (block.start + block.stop) / 2
        canvas.text(middle, top - 14, title, size=13, fill=NOTE, at="middle")
    for end in batch.reward_index.tolist():
        x = left + scale * (end + 0.5)
        canvas.path(f"M{x:g} {top + height + 2}l-4 7h8z", fill=INK)
    _vision(canvas, batch, left, scale, top + height)


def _vision(canvas: Canvas, batch: PackedBatch, left: float, scale: float, bottom: float) -> None:
    """Image tokens in the row, and lines from the tower's features to them."""
    features = [int(grid.prod()) // 4 for grid in batch.image_grid]
    edges = list(accumulate(features, initial=0))
    index, places = batch.image_feature_index.tolist(), batch.image_token_index.tolist()
    top = bottom + 62
    centres = [left + 300, left + 640]
    for number, (centre, patches) in enumerate(zip(centres, batch.image_grid.prod(dim=1).tolist(), strict=True)):
        words = f"image {number + 1}: {patches} patches → {features[number]} tokens"
        canvas.box(centre - 108, top, 216, 24, PICTURE)
        canvas.text(centre, top + 17, words, size=13, at="middle")
        members = [
            place for place, feature in zip(places, index, strict=True) if edges[number] <= feature < edges[number + 1]
        ]
        for run in runs(members):
            x, width = left + scale * run[0], scale * len(run)
            canvas.box(x, bottom - 30, width, 30, PICTURE)
            canvas.path(f"M{x + width / 2:g} {bottom}L{centre:g} {top}", stroke="#9a6700", width=1.5)
            canvas.text(
                x + width / 2,
                bottom - 10,
                f"im. {number + 1}" if len(run) > 6 else f"{number + 1}",
                size=11,
                at="middle",
            )
    canvas.text(left, top + 17, "vision tower, one call:", size=13, fill=NOTE)
    canvas.text(left, top + 48, "▲ the tokens that the head reads: the last one of each response", size=13, fill=NOTE)


def _separate(canvas: Canvas, items: Sequence[EncodedComparison], batch: PackedBatch) -> None:
    left, scale, top, step = 62, 6.5, 268, 20
    rows = [(item, ids) for item in items for ids in item.response_ids]
    longest = max(len(item.prefix_ids) + len(ids) for item, ids in rows)
    canvas.text(34, 250, f"The same as {len(rows)} separate rows, padded to the longest", bold=True)
    numbers = [number for item in items for number in range(len(item.response_ids))]
    for place, ((item, ids), number) in enumerate(zip(rows, numbers, strict=True)):
        y, prefix = top + step * place, len(item.prefix_ids)
        canvas.text(34, y + 12, f"{item.id}{number + 1}", size=12, fill=NOTE)
        canvas.box(left, y, scale * longest - 1, 15, FILLER)
        canvas.box(left, y, scale * prefix - 1, 15, PROMPT)
        canvas.box(left + scale * prefix, y, scale * len(ids) - 1, 15, RESPONSES[number])
        for start, segment in ((0, item.prefix_ids), (prefix, ids)):
            for run in runs(np.flatnonzero(segment == IMAGE).tolist()):
                canvas.box(left + scale * (start + run[0]), y, scale * len(run), 15, PICTURE)
    shown = [sum((row == START).sum() for row in (item.prefix_ids, ids)) for item, ids in rows]
    canvas.legend(360, top, [(PROMPT, "prompt"), (PICTURE, "image tokens"), (FILLER, "filler or padding")])
    canvas.legend(540, top, [(fill, f"response {n + 1}") for n, fill in enumerate(RESPONSES)])
    tokens_there = sum(len(item.prefix_ids) + len(ids) for item, ids in rows)
    lines = (
        f"tokens: {batch.num_tokens} in the packed row, {tokens_there} in separate rows",
        f"with fillers or padding: {len(batch.input_ids)} against {len(rows)} × {longest} = {len(rows) * longest}",
        f"images through the vision tower: {len(batch.image_grid)} against {sum(shown)}",
    )
    for place, line in enumerate(lines):
        canvas.text(360, top + 112 + 22 * place, line)


# The mask


def draw_mask() -> str:
    """Who sees whom, token by token, and a longer row in tiles."""
    canvas = Canvas(610, "The mask of a packed row, and its tiles")
    _cells(canvas, BlockLayout((Block(0, 5, (3, 4)), Block(12, 4, (2, 2, 2)))))
    _tiles(canvas, layout_of((400, (170, 210)), (250, (60, 80, 40))))
    return canvas.svg()


def _cells(canvas: Canvas, layout: BlockLayout) -> None:
    left, top, cell, size = 66, 78, 17, layout.num_tokens
    mask = mask_of(layout)
    token = np.arange(size)
    block_number = np.repeat(range(len(layout.blocks)), [block.length for block in layout.blocks])
    later, other = token[None] > token[:, None], block_number[None] != block_number[:, None]
    for fill, cells in (
        (OTHER_RESPONSE, ~mask), (LATER, later), (OTHER_COMPARISON, other & ~later),
    ):  # fmt: skip
        canvas.path(area(cells, left, top, cell), fill=fill)
    canvas.text(left, 24, "Token by token", bold=True)
    canvas.text(left, 44, "a row of the picture: one token asks; a column: it may be seen", size=13, fill=NOTE)
    segments = [segment for block in layout.blocks for segment in segments_of(block)]
    for start, stop, fill, label in segments:
        columns = mask & (token >= start)[None] & (token < stop)[None]
        canvas.path(area(columns, left, top, cell), fill=fill)
        middle = cell * (start + stop) / 2
        canvas.box(left + cell * start, top - 20, cell * (stop - start) - 1, 16, fill)
        canvas.text(left + middle, top - 8, label, size=11, fill=PAPER, at="middle")
        canvas.box(left - 56, top + cell * start, 52, cell * (stop - start) - 1, fill)
        canvas.text(left - 30, top + middle + 4, label, size=11, fill=PAPER, at="middle")
    lines = "".join(
        f"M{left} {top + cell * n}h{cell * size}M{left + cell * n} {top}v{cell * size}" for n in range(size + 1)
    )
    canvas.path(lines, stroke=PAPER)
    for block in layout.blocks:
        corner, side = cell * block.start, cell * block.length
        canvas.path(f"M{left + corner} {top + corner}h{side}v{side}h-{side}z", stroke=INK, width=1.5)
    _three_numbers(canvas, layout, 10, left, top, cell)
    canvas.legend(
        10, top + cell * size + 52,
        [
            (LATER, "hidden: a later token"),
            (OTHER_COMPARISON, "hidden by boundary 1: another Comparison"),
            (OTHER_RESPONSE, "hidden by boundary 2: another response"),
        ],
    )  # fmt: skip


def _three_numbers(canvas: Canvas, layout: BlockLayout, q: int, left: int, top: int, cell: int) -> None:
    start, prefix_end, own = (int(bound[q]) for bound in token_bounds(layout))
    canvas.path(
        f"M{left} {top + cell * q}h{cell * layout.num_tokens}v{cell}h-{cell * layout.num_tokens}z", stroke=INK, width=2
    )
    seen = f"sees {start} to {prefix_end - 1} and {own} to {q}"
    canvas.text(left + cell * layout.num_tokens + 5, top + cell * q + 13, str(q), size=13)
    words = f"token {q}: comparison_start {start}, prefix_end {prefix_end}, own_start {own}: {seen}"
    canvas.text(10, top + cell * layout.num_tokens + 28, words, size=13)


def _tiles(canvas: Canvas, layout: BlockLayout) -> None:
    left, top, side = 498, 78, layout.num_tokens // TILE
    tile = 374 / side
    partial, full = tiles_of(layout)
    canvas.text(left, 24, f"A row of {layout.num_tokens:,} tokens in tiles of {TILE} × {TILE}", bold=True)
    what = "; ".join(f"{b.prefix_length} + {' + '.join(map(str, b.response_lengths))}" for b in layout.blocks[:-1])
    canvas.text(left, 44, f"{what}; {layout.blocks[-1].length} fillers", size=13, fill=NOTE)
    canvas.path(area(~partial & ~full, left, top, tile), fill=LATER)
    canvas.path(area(partial, left, top, tile), fill="#cfe0fb")
    canvas.path(area(full, left, top, tile), fill="#1f4e9c")
    for _, shape in allowed_shape(layout, left, top, tile / TILE):
        canvas.path(shape, stroke="#c4600a", width=1.5)
    lines = "".join(f"M{left} {top + tile * n:g}h374M{left + tile * n:g} {top}v374" for n in range(side + 1))
    canvas.path(lines, stroke=PAPER)
    entries = [
        ("#1f4e9c", f"{full.sum()} full tiles: computed without a mask"),
        ("#cfe0fb", f"{partial.sum()} partial tiles: the rule is asked for each pair"),
        (LATER, f"{side * side - full.sum() - partial.sum()} empty tiles: never computed"),
    ]
    canvas.legend(left, top + 374 + 52, entries)
    canvas.text(left, top + 374 + 28, "orange: the edge of what the rule allows", size=13)


# The kernels


def draw_kernels() -> str:
    """The pairs that each kernel is asked for, of one Comparison."""
    layout = layout_of((192, (128, 160, 96)))
    block = layout.blocks[0]
    canvas = Canvas(416, "What each kernel is asked to compute of one Comparison")
    sizes = f"a prompt of {block.prefix_length} tokens, responses of {', '.join(map(str, block.response_lengths))}"
    canvas.text(24, 28, f"What each kernel is asked to compute of one Comparison ({sizes})", bold=True)
    partial, full = tiles_of(layout)
    tiles: Matrix = np.repeat(np.repeat(partial | full, TILE, axis=0), TILE, axis=1)
    kernels = {
        "sdpa: two calls": sdpa_pairs(block),
        f"flash: {len(block.response_lengths)} sequences": flash_pairs(block),
        f"flex: tiles of {TILE} × {TILE}": (tiles[: block.length, : block.length], []),
    }
    allowed = attention_pairs(block.prefix_length, block.response_lengths)
    for place, (title, (pairs, frames)) in enumerate(kernels.items()):
        left, top, scale = 24 + 292 * place, 76, 260 / block.length
        canvas.text(left, 62, f"{title}, {pairs.sum() / allowed:.2f} × the pairs needed", size=13)
        canvas.box(left, top, 260, 260, LATER)
        wasted: Matrix = np.logical_and(pairs, ~mask_of(BlockLayout((block,))))
        canvas.path(area(_coarse(wasted, 32), left, top, scale * 32), fill=WASTED)
        for fill, shape in allowed_shape(BlockLayout((block,)), left, top, scale):
            canvas.path(shape, fill=fill)
        for q, q_end, k, k_end in frames:
            corner = f"M{left + scale * k:g} {top + scale * q:g}"
            canvas.path(f"{corner}H{left + scale * k_end:g}V{top + scale * q_end:g}H{left + scale * k:g}z", stroke=INK)
    entries = [
        (PROMPT, "sees the prompt"),
        *((fill, f"response {n + 1}, itself") for n, fill in enumerate(RESPONSES[:3])),
    ]
    for place, (fill, words) in enumerate([*entries, (WASTED, "asked for, not needed"), (LATER, "not asked for")]):
        canvas.legend(24 + 292 * (place % 3), 352 + 24 * (place // 3), [(fill, words)])
    return canvas.svg()


def _coarse(cells: Matrix, side: int) -> Matrix:
    """Squares of `side` cells that hold a marked one."""
    number = len(cells) // side
    return np.asarray(cells.reshape(number, side, number, side).any(axis=(1, 3)))


# The positions


def draw_positions() -> str:
    """Time, height and width under the tokens of two Comparisons."""
    canvas = Canvas(462, "M-RoPE positions of text, an image, a video and two responses")
    video = EncodedVideo(tuple(image(f"frame {n}", 1, 2) for n in range(6)), seconds_per_step=1.5)
    first = comparison("A", (3, image("one", 2, 3), 2), (4,), (1, image("two", 2, 2), 2))
    second = comparison("B", (2, video, 3), (5,), (3,))
    seconds = f"{video.seconds_per_step:g} s"
    _numbers(canvas, first, 60, "An image of 2 × 3 tokens in the prompt, one of 2 × 2 in response 2")
    _numbers(canvas, second, 262, f"A video of {video.grid[0]} steps, {seconds} apart, of 1 × 2 tokens each")
    canvas.text(24, 440, "Boxed: where each response starts, at the position behind the prompt.", size=13, fill=NOTE)
    return canvas.svg()


def _numbers(canvas: Canvas, item: EncodedComparison, top: int, title: str) -> None:
    left, cell = 70, 31
    ids = np.concatenate([item.prefix_ids, *item.response_ids])
    block = Block(0, len(item.prefix_ids), tuple(map(len, item.response_ids)))
    positions = comparison_positions(item, ROW_FORMAT)
    canvas.text(24, top - 32, title, bold=True)
    for start, stop, fill, label in segments_of(block):
        name = label if label == "prompt" else f"response {label}"
        canvas.text(left + cell * (start + stop) / 2, top - 8, name, size=13, fill=NOTE, at="middle")
        for place in range(start, stop):
            is_picture = ids[place] in (IMAGE, VIDEO)
            x = left + cell * place
            canvas.box(x, top, cell - 2, 26, PICTURE if is_picture else fill)
            word = {IMAGE: "img", VIDEO: "vid", START: "‹", END: "›"}.get(int(ids[place]), "")
            canvas.text(x + 14.5, top + 18, word, size=12, fill=INK if is_picture else PAPER, at="middle")
        if start:
            canvas.box(left + cell * start, top + 34, cell - 2, 88, "none", stroke=INK)
    for axis, name in enumerate(("time", "height", "width")):
        y = top + 54 + 28 * axis
        canvas.text(24, y, name, size=13, fill=NOTE)
        for place, number in enumerate(positions[axis].tolist()):
            is_picture = ids[place] in (IMAGE, VIDEO)
            canvas.text(left + cell * place + 14.5, y, str(number), size=14, at="middle", bold=bool(is_picture))


if __name__ == "__main__":
    for file_name, content in pictures().items():
        (Path(__file__).parent / file_name).write_text(content, encoding="utf-8")
