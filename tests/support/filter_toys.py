"""Rows of signals as making would give them, from texts and from images that are only a key and a hash."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from data_pipeline.dataset.tables import UNIT_ROWS_SCHEMA
from data_pipeline.records.checks import content_key
from data_pipeline.records.comparison import Comparison, ImageSlot, MediaRef, Response, Turn
from data_pipeline.transform.signals import text_signals

Picture = tuple[str, int]
"""The file's key and its perceptual hash, 0 for a flat one."""


def row(
    prompt: str = "What is it?",
    responses: Sequence[str] = ("A bus.", "A dog."),
    images: Sequence[Picture] = (),
    *,
    ranks: Sequence[int] | None = None,
    in_responses: int = 0,
    **columns: Any,
) -> dict[str, Any]:
    """One row; the last `in_responses` images stand in the responses, the others in the prompt."""
    ranks = list(range(len(responses))) if ranks is None else list(ranks)
    in_prompt = len(images) - in_responses
    comparison = Comparison(
        id="x",
        source="s",
        prompt=(Turn("user", (*map(ImageSlot, range(in_prompt)), prompt)),),
        responses=tuple(Response((text,), rank) for text, rank in zip(responses, ranks, strict=True)),
        media=tuple(MediaRef(path=key) for key, _ in images),
    )
    text = text_signals(comparison)
    made = {
        "shard": 0,
        "row": 0,
        "raw_row": 0,
        "item": 0,
        "id": "x",
        "source": "s",
        "own_split": "",
        "file_repeat": 1.0,
        "turn_lengths": [10, 20, 3],
        "turn_images": [0, in_prompt, 0],
        "response_lengths": [5] * len(ranks),
        "response_floors": [0] * len(ranks),
        "common_prefix": 0,
        "ranks": ranks,
        "image_rows": list(range(len(images))),
        "image_patches": [16] * len(images),
        "span_frames": [0] * len(images),
        "content_key": content_key(comparison, [key for key, _ in images]) + "".join(k for k, _ in images[in_prompt:]),
        "image_keys": [key for key, _ in images],
        "image_hashes": [hash_ for _, hash_ in images],
        "prompt_key": text.prompt_key,
        "prompt_chars": text.prompt_chars,
        "response_chars": list(text.response_chars),
        "language": text.language,
        "prompt_minhash": text.prompt_minhash,
        "response_minhash": text.response_minhash,
        "prompt_ngrams": text.prompt_ngrams,
    }
    assert set(columns) <= set(made)
    return made | columns


def table(rows: Sequence[dict[str, Any]]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=UNIT_ROWS_SCHEMA)
