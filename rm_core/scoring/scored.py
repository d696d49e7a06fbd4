"""What evaluation reads: one Comparison's labels beside the rewards that a model gave its responses."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from data_pipeline.errors import RunError

__all__ = ["ScoredComparison", "check_finite"]


@dataclass(frozen=True, slots=True)
class ScoredComparison:
    """The rewards of one Comparison's K responses; every tuple has K entries in the same order.

    Attributes:
        id: the record's id; errors name it.
        source: the source's name in the recipe; reports group by it.
        rewards: the model's scalar a response, higher is better.
        ranks: the label, 0 is best; equal ranks are a tie.
        response_lengths: tokens a response, for the length-only baseline.
        num_images: images in the prompt and the responses; 0 for text only.
        blank_rewards: rewards of the same Comparison with every image replaced by a mid-grey one; None for text only.

    Raises:
        ValueError: fewer than two responses, tuples of different lengths, or blank rewards without an image.
    """

    id: str
    source: str
    rewards: tuple[float, ...]
    ranks: tuple[int, ...]
    response_lengths: tuple[int, ...]
    num_images: int
    blank_rewards: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        columns = [self.rewards, self.ranks, self.response_lengths]
        if self.blank_rewards is not None:
            columns.append(self.blank_rewards)
        lengths = [len(column) for column in columns]
        if len(set(lengths)) != 1 or lengths[0] < 2:
            raise ValueError(
                f"comparison {self.id!r}: rewards, ranks, response_lengths and blank_rewards have {lengths} entries; "
                "each needs one entry a response, for two responses or more"
            )
        if self.blank_rewards is not None and self.num_images == 0:
            raise ValueError(f"comparison {self.id!r} has blank_rewards but num_images is 0; leave them out")


def check_finite(scored: Iterable[ScoredComparison]) -> None:
    """Refuse rewards that cannot be ranked.

    Raises:
        RunError: a reward is NaN or infinite; the message names the comparison.
    """
    for one in scored:
        for name, rewards in (("rewards", one.rewards), ("blank_rewards", one.blank_rewards or ())):
            if not all(math.isfinite(reward) for reward in rewards):
                raise RunError(
                    f"comparison {one.id!r} of source {one.source!r} has {name} {list(rewards)}: the model has "
                    "diverged or its weights are damaged; check the training loss, or evaluate an earlier checkpoint"
                )
