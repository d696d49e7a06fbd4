"""Lengths of real sets of Comparisons, as log-normal spreads: for benchmarks that need more than the sets hold."""

from dataclasses import dataclass

import numpy as np

__all__ = ["CASES", "SIDE", "Case", "Lengths"]

SIDE = 448
"""Pixels a side of every image: 32 x 32 patches, 256 tokens."""


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
    """A kind of real set: photographs with two long answers, cartoons with captions, text dialogues."""

    name: str
    num_responses: int
    has_image: bool
    prompt: Lengths
    response: Lengths


CASES = (
    Case(
        name="image_pairs", num_responses=2, has_image=True,
        prompt=Lengths(median=60, spread=0.2, longest=200), response=Lengths(median=125, spread=0.8, longest=1600),
    ),
    Case(
        name="image_groups_of_4", num_responses=4, has_image=True,
        prompt=Lengths(median=60, spread=0.1, longest=200), response=Lengths(median=13, spread=0.4, longest=61),
    ),
    Case(
        name="text_pairs", num_responses=2, has_image=False,
        prompt=Lengths(median=68, spread=1.0, longest=1000), response=Lengths(median=68, spread=1.0, longest=1500),
    ),
)  # fmt: skip
