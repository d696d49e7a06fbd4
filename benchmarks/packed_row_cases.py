"""What is measured: synthetic Comparisons with the lengths of real sets, and their tokens counted on both sides."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from data_pipeline.encode import EncodedComparison, EncodedImage
from rm_core.batches.row_format import RowFormat
from rm_core.batches.sizes import PlanningTable, num_ordered_pairs, relative_cost

VOCABULARY = 2048
SPECIAL_IDS = {
    "<|endoftext|>": 0,
    "<|image_pad|>": 1,
    "<|video_pad|>": 2,
    "<|vision_start|>": 3,
    "<|vision_end|>": 4,
}
IMAGE_TOKEN = SPECIAL_IDS["<|image_pad|>"]
ROW_FORMAT = RowFormat(image_token=IMAGE_TOKEN, video_token=SPECIAL_IDS["<|video_pad|>"])
FIRST_WORD = 5
SIDE = 448
"""Pixels a side of every image: 32 x 32 patches, 256 tokens."""
MICRO_BATCH = 4
"""Comparisons that the reference pads together."""


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """A log-normal spread of lengths in tokens."""

    median: int
    spread: float
    longest: int

    def draw(self, random: np.random.Generator) -> int:
        return int(np.clip(round(random.lognormal(np.log(self.median), self.spread)), 2, self.longest))


@dataclass(frozen=True, kw_only=True)
class Case:
    """Synthetic Comparisons with the lengths of a kind of real set."""

    name: str
    num_responses: int
    has_image: bool
    prompt: Lengths
    response: Lengths
    speedup_goal: float


CASES = (
    Case(
        name="image_pairs", num_responses=2, has_image=True, speedup_goal=1.7,
        prompt=Lengths(median=60, spread=0.2, longest=200), response=Lengths(median=125, spread=0.8, longest=1600),
    ),
    Case(
        name="image_groups_of_4", num_responses=4, has_image=True, speedup_goal=2.8,
        prompt=Lengths(median=60, spread=0.1, longest=200), response=Lengths(median=13, spread=0.4, longest=61),
    ),
    Case(
        name="text_pairs", num_responses=2, has_image=False, speedup_goal=1.7,
        prompt=Lengths(median=68, spread=1.0, longest=1000), response=Lengths(median=68, spread=1.0, longest=1500),
    ),
)  # fmt: skip


def make_comparisons(case: Case, count: int, seed: int) -> list[EncodedComparison]:
    """Random words and images; the first response of each Comparison is the best, the last the worst."""
    random = np.random.default_rng(seed)
    return [_comparison(case, f"{case.name}-{index}", random) for index in range(count)]


def _comparison(case: Case, name: str, random: np.random.Generator) -> EncodedComparison:
    image = _image(name, random)
    span = [SPECIAL_IDS["<|vision_start|>"], *[IMAGE_TOKEN] * image.num_tokens, SPECIAL_IDS["<|vision_end|>"]]
    prompt = _words(case.prompt.draw(random), random)
    return EncodedComparison(
        id=name,
        source=case.name,
        split="train",
        prefix_ids=np.concatenate([np.array(span, dtype=np.int32), prompt]) if case.has_image else prompt,
        response_ids=tuple(_words(case.response.draw(random), random) for _ in range(case.num_responses)),
        ranks=tuple(range(case.num_responses)),
        scores=(None,) * case.num_responses,
        images=(image,) if case.has_image else (),
    )


def _words(count: int, random: np.random.Generator) -> npt.NDArray[np.int32]:
    return random.integers(FIRST_WORD, VOCABULARY, count, dtype=np.int32)


def _image(name: str, random: np.random.Generator) -> EncodedImage:
    small = Image.fromarray(random.integers(0, 256, (8, 8, 3), dtype=np.uint8))
    buffer = io.BytesIO()
    small.resize((SIDE, SIDE)).save(buffer, format="JPEG")
    return EncodedImage(key=name, data=buffer.getvalue(), height=SIDE, width=SIDE)


def micro_batches(comparisons: Sequence[EncodedComparison]) -> list[Sequence[EncodedComparison]]:
    """The Comparisons in their order, `MICRO_BATCH` at a time."""
    return [comparisons[start : start + MICRO_BATCH] for start in range(0, len(comparisons), MICRO_BATCH)]


def planning_table(comparisons: Sequence[EncodedComparison]) -> PlanningTable:
    """What packing needs to know, from the Comparisons themselves."""
    tokens = np.array([item.num_tokens for item in comparisons], dtype=np.int64)
    patches = np.array([sum(image.num_patches for image in item.images) for item in comparisons], dtype=np.int64)
    pairs = np.array([num_ordered_pairs(list(item.ranks)) for item in comparisons], dtype=np.int64)
    ids = tuple(item.id for item in comparisons)
    return PlanningTable(np.arange(len(ids)), tokens, patches, pairs, relative_cost(tokens, patches), ids)


def token_counts(comparisons: Sequence[EncodedComparison]) -> dict[str, float]:
    """Tokens and images a Comparison on both sides, and what each of the two ideas saves."""
    lengths = [[len(item.prefix_ids) + len(ids) for ids in item.response_ids] for item in comparisons]
    full = sum(map(sum, lengths))
    groups = [lengths[start : start + MICRO_BATCH] for start in range(0, len(lengths), MICRO_BATCH)]
    padded = sum(sum(map(len, group)) * max(map(max, group)) for group in groups)
    shared = sum(item.num_tokens for item in comparisons)
    count = len(comparisons)
    return {
        "tokens_packed": shared / count,
        "tokens_reference": padded / count,
        "tokens_reference_without_padding": full / count,
        "fewer_tokens": padded / shared,
        "fewer_tokens_by_packing": padded / full,
        "fewer_tokens_by_sharing": full / shared,
        "images_packed": sum(len(item.images) for item in comparisons) / count,
        "images_reference": sum(len(item.images) * len(item.response_ids) for item in comparisons) / count,
    }
