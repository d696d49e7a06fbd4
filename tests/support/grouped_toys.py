"""Toys of grouped Comparisons: the records of one prompt apart, and as one."""

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
from toys import toy_comparison

from data_pipeline.config import PreprocessConfig, SourceConfig, SplitConfig
from data_pipeline.encoding.encoder import EncodedComparison, EncodedImage
from data_pipeline.encoding.joining import joined
from data_pipeline.encoding.tokenizer import train_tokenizer

PROMPTS = 3
PAIRS = (("a", "b"), ("b", "c"), ("c", "a"), ("b", "d"))
"""(better, worse) answers to each of the prompts that `pairs_of_prompts` writes."""

# (judged responses, their ranks): a pair, the same pair the other way round, a pair again, an order with a tie of
# which one answer stands twice, and a tie beside a win.
JUDGED = (
    ((0, 1), (0, 1)),
    ((1, 0), (0, 1)),
    ((1, 2), (1, 0)),
    ((0, 2, 3, 2), (2, 0, 1, 0)),
    ((3, 0, 1), (0, 0, 1)),
)


def records_of_a_prompt(
    seed: int,
    judged: Sequence[tuple[tuple[int, ...], tuple[int, ...]]] = JUDGED,
    *,
    images: tuple[EncodedImage, ...] = (),
    response_images: tuple[EncodedImage, ...] = (),
) -> list[EncodedComparison]:
    """Separate Comparisons of one prompt whose scores count votes; `response_images` stand in the first responses."""
    count = 1 + max(place for places, _ in judged for place in places)
    whole = toy_comparison(seed, images=images, ranks=tuple(range(count)), response_images=response_images)
    found = []
    for number, (places, ranks) in enumerate(judged):
        shown = [response_images[place] for place in places if place < len(response_images)]
        found.append(
            replace(
                whole,
                id=f"{whole.id}-{number}",
                response_ids=tuple(whole.response_ids[place] for place in places),
                ranks=ranks,
                scores=tuple(float((seed + number + place) % 4) for place in places),
                images=(*images, *shown),
            )
        )
    return found


def grouped_toy(
    records: Sequence[EncodedComparison],
    judged: Sequence[tuple[tuple[int, ...], tuple[int, ...]]] = JUDGED,
    *,
    num_images: int = 0,
    num_response_images: int = 0,
) -> EncodedComparison:
    """The same as one Comparison. Its responses have to come first in the order of their places."""
    count = 1 + max(place for places, _ in judged for place in places)
    spans = [int(place < num_response_images) for place in range(count)]
    bare = [records[0], *(replace(one, images=one.images[num_images:]) for one in records[1:])]
    return joined(bare, [places for places, _ in judged], spans)


def pairs_of_prompts(folder: Path) -> PreprocessConfig:
    """Raw pairs, several to a prompt with its picture, a tokenizer, and how to prepare them; nothing is held out."""
    records = []
    for prompt in range(PROMPTS):
        pixels = np.random.default_rng(prompt).integers(0, 256, (56, 56, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        PIL.Image.fromarray(pixels).save(buffer, "PNG")
        (folder / f"{prompt}.png").write_bytes(buffer.getvalue())
        records += [
            {"prompt": f"Say {prompt}.", "image": f"{prompt}.png", "chosen": chosen, "rejected": rejected}
            for chosen, rejected in PAIRS
        ]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    train_tokenizer(["Say a, b, c or d."], 300, str(folder / "model"))
    return PreprocessConfig(
        sources=[SourceConfig(name="pairs", path="pairs.jsonl")], data_root=str(folder), rows_per_unit=5,
        output=str(folder / "out"), tokenizer=str(folder / "model"), split=SplitConfig(heldout_fraction=0.0),
    )  # fmt: skip
