"""What evaluation reads: one Comparison's labels beside the rewards that a model gave its responses."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError, UserError

__all__ = ["ScoredComparison", "check_finite", "check_groups", "group_codes"]


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
        group: equal for Comparisons that are not independent: those that share an image or a text-only prompt
            (`data_pipeline.filtering.groups`). None: not known; nothing that makes an interval or a test takes it.

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
    group: str | None = None

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


def check_groups(scored: Iterable[ScoredComparison]) -> None:
    """Refuse Comparisons of which it is not known with which others they belong together.

    Raises:
        UserError: one has no group; the message names it.
    """
    for one in scored:
        if one.group is None:
            raise UserError(
                f"comparison {one.id!r} of source {one.source!r} has no group, so an interval would take answers about "
                "one image as independent: its rewards are of an earlier version; run `basereward evaluate` again"
            )


def group_codes(*scorings: Sequence[ScoredComparison]) -> npt.NDArray[np.int64]:
    """int64 [N] equal for Comparisons that belong together in any of several scorings of the same N.

    Scorings may name groups differently where they are of differently prepared data: what one of them connects is
    connected.

    Raises:
        UserError: as for `check_groups`.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    columns = []
    for scored in scorings:
        check_groups(scored)
        columns.append(np.unique(np.array([one.group for one in scored], dtype=np.str_), return_inverse=True)[1])
    if all(np.array_equal(columns[0], column) for column in columns):
        return np.asarray(columns[0], dtype=np.int64)
    count = len(scorings[0])
    places = [count * (index + 1) + column for index, column in enumerate(columns)]
    rows, nodes = np.tile(np.arange(count), len(columns)), np.concatenate(places)
    size = count * (len(columns) + 1)
    graph = coo_array((np.ones(len(rows), dtype=np.int8), (rows, nodes)), shape=(size, size))
    labels = connected_components(graph, directed=False)[1][:count]
    return np.unique(labels, return_inverse=True)[1].astype(np.int64)
