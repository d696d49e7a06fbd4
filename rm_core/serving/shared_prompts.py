"""Comparisons that ask about one prompt as one Comparison, so that the prompt and its images are computed once.

    [P | a b], [Q | c], [P | d]  ->  [P | a b d], [Q | c]

A Comparison of many responses that is larger than a packed row may be is cut into several, each with the prompt. Since
a response attends to its prompt and to itself alone, its reward is the same wherever it stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.spans import VisionSpan
from rm_core.packing.plan import PackBudget
from rm_core.scoring.prefix_cache import PrefixKey, prefix_key

__all__ = ["Asked", "SharedPrompts", "prompt_key", "share_prompts"]

_MOST = 1024
"""Responses of a joined Comparison: pairs of them are counted on the way."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A Comparison, with where its images stand.

    Attributes:
        encoded: the Comparison.
        num_images: of the prompt, then of every response; they sum to those of `encoded`.
    """

    encoded: EncodedComparison
    num_images: tuple[int, ...]

    @property
    def prompt_images(self) -> tuple[VisionSpan, ...]:
        return self.encoded.images[: self.num_images[0]]

    @property
    def prompt_patches(self) -> int:
        return sum(span.num_patches for span in self.prompt_images)

    def response_images(self, place: int) -> tuple[VisionSpan, ...]:
        """Those of response `place`."""
        start = sum(self.num_images[: place + 1])
        return self.encoded.images[start : start + self.num_images[place + 1]]


@dataclass(frozen=True, slots=True)
class SharedPrompts:
    """What is computed for some Comparisons.

    Attributes:
        rows: Comparisons, each prompt as seldom as fits.
        places: for every Comparison asked about, and each of its responses: (row, response of it).
    """

    rows: tuple[EncodedComparison, ...]
    places: tuple[tuple[tuple[int, int], ...], ...]

    def of_asked(self, rewards: Sequence[Sequence[float]]) -> list[tuple[float, ...]]:
        """The rewards of `rows` as those of the Comparisons asked about."""
        return [tuple(rewards[row][place] for row, place in responses) for responses in self.places]


def prompt_key(asked: Asked) -> PrefixKey:
    """The same for prompts of the same tokens and images."""
    return prefix_key(asked.encoded, asked.prompt_images)


@dataclass
class _Open:
    """A Comparison that is being put together."""

    number: int
    first: Asked
    members: list[tuple[Asked, int]]
    tokens: int
    patches: int

    def closed(self) -> EncodedComparison:
        images = self.first.prompt_images
        for asked, place in self.members:
            images += asked.response_images(place)
        count = len(self.members)
        return replace(
            self.first.encoded,
            response_ids=tuple(asked.encoded.response_ids[place] for asked, place in self.members),
            ranks=(0,) * count,
            scores=(None,) * count,
            images=images,
            judgements=(),
            target_starts=tuple(
                asked.encoded.target_starts[place] for asked, place in self.members if asked.encoded.target_starts
            ),
        )


def share_prompts(items: Sequence[Asked], budget: PackBudget) -> SharedPrompts:
    """Put together what asks about one prompt, in Comparisons that each fit into a row of the budget.

    A prompt with one response that is larger is a row by itself, for the scorer to refuse.
    """
    open_rows: dict[PrefixKey, _Open] = {}
    rows: list[_Open] = []
    places: list[tuple[tuple[int, int], ...]] = []
    for asked in items:
        key = prompt_key(asked)
        found: list[tuple[int, int]] = []
        for place, ids in enumerate(asked.encoded.response_ids):
            patches = sum(span.num_patches for span in asked.response_images(place))
            row = open_rows.get(key)
            if row is None or not _fits(row, len(ids), patches, budget):
                row = _Open(len(rows), asked, [], len(asked.encoded.prefix_ids), asked.prompt_patches)
                open_rows[key] = row
                rows.append(row)
            found.append((row.number, len(row.members)))
            row.members.append((asked, place))
            row.tokens += len(ids)
            row.patches += patches
        places.append(tuple(found))
    return SharedPrompts(tuple(row.closed() for row in rows), tuple(places))


def _fits(row: _Open, tokens: int, patches: int, budget: PackBudget) -> bool:
    return row.tokens + tokens <= budget.tokens and row.patches + patches <= budget.patches and len(row.members) < _MOST
