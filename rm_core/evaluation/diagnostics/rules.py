"""Rules that read no answer, "the longer one" and "the first one", and whether a model chooses as they do.

Letters of shapes: P ordered pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from rm_core.evaluation.intervals import Resampling, cluster_interval
from rm_core.evaluation.pairs import PairTable, longer_wins
from rm_core.evaluation.results import Share
from rm_core.scoring.scored import ScoredComparison, group_codes

__all__ = [
    "Choices",
    "GapBin",
    "RuleCheck",
    "by_length_gap",
    "check_rule",
    "is_below_chance",
    "length_choices",
    "position_choices",
    "share_of",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
_GAPS = (0.0, 0.1, 0.25, 0.5, 1.0)
"""Edges of bins: the difference of two lengths over the longer one."""


@dataclass(frozen=True, kw_only=True)
class RuleCheck:
    """A rule, and a model beside it, on the pairs of which the rule says something. Equal rewards count half."""

    num_pairs: int
    """Ordered pairs of which the rule says something."""
    accuracy: Share
    """The rule's own."""
    followed: Share
    """How often the model chooses as the rule does."""
    where_right: Share | None
    """The model's accuracy where the rule is right; None where it never is."""
    num_right: int
    """Pairs on which the rule is right."""
    where_wrong: Share | None
    """The model's accuracy where the rule is wrong."""


@dataclass(frozen=True, kw_only=True)
class GapBin:
    """Pairs whose two lengths differ about as much."""

    low: float
    """Least difference over the longer length, which is among them only in the first bin."""
    high: float
    """Greatest difference over the longer length."""
    num_pairs: int
    """Ordered pairs in it."""
    accuracy: Share
    """The model's; equal rewards count half."""
    longer_wins: Share
    """The rule's; equal lengths count half."""


@dataclass(frozen=True)
class Choices:
    """What a rule and a model say of P ordered pairs: 1 is right, 0 wrong, 0.5 no choice."""

    rule: Floats
    model: Floats
    groups: Ints

    def where(self, rule: float) -> "Choices":
        """The pairs of which the rule says this."""
        inside = self.rule == rule
        return Choices(self.rule[inside], self.model[inside], self.groups[inside])


def length_choices(table: PairTable) -> Choices:
    """The rule "the longer one"."""
    return Choices(longer_wins(table.length_gap), credit_of(table.margin), table.group[table.comparison])


def position_choices(
    scored: Sequence[ScoredComparison], turned: Sequence[tuple[float, ...] | None] | None = None
) -> tuple[Choices, Choices]:
    """The rule "the first one" over all pairs, and over those in which it can be told from the label.

    A set that stores the chosen answer first says nothing of a model that takes the first: both are always right.
    Pairs of a source count for the second only where both orders occur in it. Where the answers were scored in the
    other order too, every pair counts in both.

    Args:
        turned: rewards of the same answers, in the same order here, that were read in the other one.
    """
    groups = group_codes(scored)
    columns: list[tuple[float, float, int, str]] = []
    told: list[tuple[float, float, int, str]] = []
    for place, one in enumerate(scored):
        columns += _in_order(one, one.rewards, int(groups[place]), is_turned=False)
        other = None if turned is None else turned[place]
        if other is not None:
            told += _in_order(one, one.rewards, int(groups[place]), is_turned=False)
            told += _in_order(one, other, int(groups[place]), is_turned=True)
    if turned is None:
        orders = {(source, rule) for rule, _, _, source in columns}
        told = [column for column in columns if (column[3], 1.0 - column[0]) in orders]
    return _choices(columns), _choices(told)


def check_rule(choices: Choices, resampling: Resampling) -> RuleCheck | None:
    """The numbers of a rule; None where it says nothing of any pair."""
    inside = choices.rule != 0.5
    said = Choices(choices.rule[inside], choices.model[inside], choices.groups[inside])
    if not len(said.rule):
        return None
    right, wrong = said.where(1.0), said.where(0.0)
    followed = np.where(said.rule == 1.0, said.model, 1 - said.model)
    return RuleCheck(
        num_pairs=len(said.rule),
        accuracy=share_of(said.rule, said.groups, resampling),
        followed=share_of(followed, said.groups, resampling),
        where_right=share_of(right.model, right.groups, resampling) if len(right.rule) else None,
        num_right=len(right.rule),
        where_wrong=share_of(wrong.model, wrong.groups, resampling) if len(wrong.rule) else None,
    )


def by_length_gap(table: PairTable, resampling: Resampling) -> tuple[GapBin, ...]:
    """Accuracy by how far the two lengths of a pair are from each other; empty bins are left out."""
    gaps = np.abs(table.length_gap) / np.maximum(table.longer, 1)
    choices = length_choices(table)
    found = []
    for low, high in pairwise(_GAPS):
        inside = (gaps > low) & (gaps <= high) if low else gaps <= high
        if inside.any():
            groups = choices.groups[inside]
            found.append(
                GapBin(
                    low=low,
                    high=high,
                    num_pairs=int(inside.sum()),
                    accuracy=share_of(choices.model[inside], groups, resampling),
                    longer_wins=share_of(choices.rule[inside], groups, resampling),
                )
            )
    return tuple(found)


def credit_of(margins: Floats) -> Floats:
    """1 for a pair that is right, half for one with equal rewards."""
    return np.asarray((margins > 0) + 0.5 * (margins == 0), dtype=np.float64)


def share_of(credit: Floats, groups: Ints, resampling: Resampling) -> Share:
    """The mean of `credit` [P], at least one pair, with an interval that draws groups [P]."""
    interval = cluster_interval(credit, np.ones(len(credit)), groups, resampling)
    return Share(value=float(credit.sum() / len(credit)), interval=interval)


def is_below_chance(choices: Choices, resampling: Resampling) -> bool:
    """Whether the model is right in clearly less than half of the pairs; no pair: no."""
    return len(choices.rule) > 0 and share_of(choices.model, choices.groups, resampling).interval.high < 0.5


def _in_order(
    one: ScoredComparison, rewards: Sequence[float], group: int, *, is_turned: bool
) -> list[tuple[float, float, int, str]]:
    """(is the first the better one, is the model right, group, source) of each ordered pair, as it was read."""
    found = []
    for first in range(len(one.ranks)):
        for second in range(first + 1, len(one.ranks)):
            if one.ranks[first] == one.ranks[second]:
                continue
            first_is_better = one.ranks[first] < one.ranks[second]
            margin = rewards[first] - rewards[second]
            right = 0.5 if margin == 0 else float((margin > 0) == first_is_better)
            found.append((float(first_is_better != is_turned), right, group, one.source))
    return found


def _choices(columns: Sequence[tuple[float, float, int, str]]) -> Choices:
    rule, model, groups = (np.array([column[place] for column in columns]) for place in range(3))
    return Choices(rule.astype(np.float64), model.astype(np.float64), groups.astype(np.int64))
