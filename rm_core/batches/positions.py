"""Positions of a Comparison, made explicitly (guessing them from masks is what goes wrong in packed rows).

Every token has three positions: time, height, width. Text counts all three up together; an image holds time still and
counts rows and columns of its merged patches; a video counts these in every step and its time by the seconds between
steps, or its steps are as many images where their times stand as text between them (Qwen3-VL). What follows goes on
after the rows and columns, however long the video is: Transformers does so since 5.23. Responses all start where the
prefix ends, as if each stood alone behind it. (Qwen2-VL, arXiv 2409.12191, section 2.1; time in seconds: Qwen2.5-VL,
arXiv 2502.13923, section 2.1.2; as text: Qwen3-VL, arXiv 2511.21631, section 2.3.) Without M-RoPE, as in InternVL, a
token of an image counts as one of text.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from data_pipeline.encoding.encoder import EncodedComparison, EncodedVideo, VisionSpan
from data_pipeline.encoding.spans import steps_of
from data_pipeline.media import QWEN2_5_VL, ImageFormat

__all__ = ["RowFormat", "comparison_positions", "segment_positions", "span_positions"]

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RowFormat:
    """Numbers of one backbone and its attention kernel; picklable, so that loader processes can have it.

    Attributes:
        image_token: id of ``<|image_pad|>``, or of ``<IMG_CONTEXT>``.
        video_token: id of ``<|video_pad|>``; -1: there are no videos.
        has_vision: False for a text-only backbone, which refuses rows with images.
        mrope: whether the tokens of an image have positions of their own in height and width.
        longest: tokens of a prompt and an answer up to which the rotary frequencies are the plain ones; longer ones are
            refused. None: any length.
        time_per_second: M-RoPE time positions a second of video (Qwen2.5-VL: 2); None: one a pair of frames (Qwen2-VL).
        alignment: the row's length is filled up to a multiple of this many tokens, as the attention kernel wants it.
        attention: the attention kernel, whose indices the row carries.
        window: side of a window of the vision tower in tokens; 0: it has none.
        pixels: type of the patches: the one that the model computes in, so that no more is sent to a GPU.
        images: how its pictures are prepared; rows with others are refused.
        places: side of the square table of places that the tower has learnt (Qwen3-VL: 48); 0: it has none.
        targets: whether rows say which tokens the model shall write: every row then does, an empty one too.
        verdicts: whether its Comparisons are questions to a judge; their targets are the verdicts.
    """

    image_token: int
    video_token: int
    has_vision: bool = True
    mrope: bool = True
    longest: int | None = None
    time_per_second: float | None = None
    alignment: int = 1
    attention: str = "sdpa"
    window: int = 0
    pixels: torch.dtype = torch.float32
    images: ImageFormat = QWEN2_5_VL
    places: int = 0
    targets: bool = False
    verdicts: bool = False


def comparison_positions(comparison: EncodedComparison, row_format: RowFormat) -> IntArray:
    """Positions [3, L] of [prefix | response 1 | ... | response K].

    Raises:
        ValueError: the runs of image and video tokens and the spans do not match.
    """
    spans = [run for span in comparison.images for run in steps_of(span)]
    taken = len(_starts(comparison.prefix_ids, row_format))
    prefix, after = segment_positions(comparison.prefix_ids, spans[:taken], row_format=row_format, start=0)
    pieces = [prefix]
    for ids in comparison.response_ids:
        count = len(_starts(ids, row_format))
        piece, _ = segment_positions(ids, spans[taken : taken + count], row_format=row_format, start=after)
        pieces.append(piece)
        taken += count
    if taken != len(spans):
        raise ValueError(f"{len(spans)} images and videos, but {taken} spans in the tokens")
    return np.concatenate(pieces, axis=1)


def segment_positions(
    ids: npt.NDArray[np.int32], spans: Sequence[VisionSpan], *, row_format: RowFormat, start: int
) -> tuple[IntArray, int]:
    """Positions [3, len(ids)] of one segment and the position after it.

    Args:
        ids: tokens of the segment; each image is a run of image tokens, each video one of video tokens.
        spans: the segment's images and videos in order; of stamped videos, their steps (`spans.steps_of`).
        start: position of the first token.

    Raises:
        ValueError: the runs of vision tokens and the spans do not match.

    A text token, an image of 2 x 2 tokens and a text token, from 0:
    time 0 1 1 1 1 3, height 0 1 1 2 2 3, width 0 1 2 1 2 3.
    """
    starts = _starts(ids, row_format).tolist()
    if len(starts) != len(spans):
        raise ValueError(f"{len(spans)} images and videos for {len(starts)} spans in the tokens")
    out = np.empty((3, len(ids)), dtype=np.int64)
    cursor, position = 0, start
    for begin, span in zip(starts, spans, strict=True):
        end = begin + span.num_tokens
        _check_run(ids, begin, end, span, row_format)
        out[:, cursor:begin] = position + np.arange(begin - cursor)
        position += begin - cursor
        out[:, begin:end] = position + span_positions(span, row_format)
        cursor, position = end, position + (max(span.grid[1:]) // 2 if row_format.mrope else span.num_tokens)
    out[:, cursor:] = position + np.arange(len(ids) - cursor)
    return out, position + len(ids) - cursor


def span_positions(span: VisionSpan, row_format: RowFormat) -> IntArray:
    """Positions [3, tokens] of a span from 0.

    A video of 4 frames, 3 seconds a step, of 1 x 2 tokens, at 2 positions a second: time 0 0 6 6, height 0 0 0 0,
    width 0 1 0 1.
    """
    if not row_format.mrope:
        return np.tile(np.arange(span.num_tokens), (3, 1))
    steps, rows, columns = span.grid[0], span.grid[1] // 2, span.grid[2] // 2
    times = np.arange(steps)
    if isinstance(span, EncodedVideo) and row_format.time_per_second is not None:
        # In float32 and cut off, as Transformers does it: 3 steps of 0.3 seconds begin at 0, 0 and 1.
        a_step = np.float32(row_format.time_per_second) * np.float32(span.seconds_per_step)
        times = (times.astype(np.float32) * a_step).astype(np.int64)
    return np.stack([axis.ravel() for axis in np.meshgrid(times, np.arange(rows), np.arange(columns), indexing="ij")])


def _starts(ids: npt.NDArray[np.int32], row_format: RowFormat) -> npt.NDArray[np.intp]:
    """Where runs of vision tokens begin; runs never touch: each is between a start and an end of its own."""
    inside = np.concatenate(([False], (ids == row_format.image_token) | (ids == row_format.video_token)))
    return np.flatnonzero(inside[1:] & ~inside[:-1])


def _check_run(ids: npt.NDArray[np.int32], begin: int, end: int, span: VisionSpan, row_format: RowFormat) -> None:
    kind, token = "image", row_format.image_token
    if isinstance(span, EncodedVideo):
        kind, token = "video", row_format.video_token
    vision = (row_format.image_token, row_format.video_token)
    if end > len(ids) or not np.all(ids[begin:end] == token) or (end < len(ids) and int(ids[end]) in vision):
        raise ValueError(f"the vision tokens from {begin} are no {kind} of {span.num_tokens} tokens, grid {span.grid}")
