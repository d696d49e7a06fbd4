"""Which of two models is better, asked of the same Comparisons.

Both have seen the same prompts, so what counts is where they differ. A *discordant* Comparison is one in which one
model has more pairs right than the other; the rest say nothing about which is better, and drop out of the test.
Comparisons that share an image or a prompt are one group: intervals draw groups, and the test turns whole groups round.

    >>> from rm_core.scoring.scored import ScoredComparison
    >>> def scored(*margins):
    ...     return [ScoredComparison(id=str(i), source="s", rewards=(m, 0.0), ranks=(0, 1), response_lengths=(1, 1),
    ...                              num_images=0, group=str(i)) for i, m in enumerate(margins)]
    >>> found = compare_paired(scored(1, -1, -1, -1, -1, -1, -1), scored(1, 1, 1, 1, 1, 1, 1))
    >>> round(found.difference, 3), found.b_better, found.a_better, round(found.p_value, 5)
    (0.857, 6, 0, 0.03125)
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from data_pipeline.errors import RunError
from rm_core.evaluation.intervals import Interval, Resampling, by_group, difference_interval
from rm_core.evaluation.matching import match
from rm_core.evaluation.pairs import longer_wins, ordered_lengths, ordered_margins
from rm_core.evaluation.results import Gain
from rm_core.evaluation.sign_test import sign_flip_p_value
from rm_core.scoring.scored import ScoredComparison, check_finite, group_codes

__all__ = ["POWER", "PairedComparison", "PairedGroup", "compare_paired", "compare_paired_seeds"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

POWER = 0.8
"""How often a test on as many Comparisons as `PairedGroup.needed` says would see the difference."""


@dataclass(frozen=True, kw_only=True)
class PairedGroup:
    """Two models on the same Comparisons: all of them, one source, or one modality."""

    a_accuracy: float
    """Pair accuracy of the first, 0 to 1."""
    b_accuracy: float
    """Pair accuracy of the second."""
    difference: float
    """`b_accuracy` - `a_accuracy`."""
    interval: Interval
    """Of `difference`; whole groups are drawn, both scorings of one together."""
    p_value: float
    """Chance of a difference at least as large, up or down, if both were equally good: `sign_flip_p_value`."""
    num_comparisons: int
    """Comparisons with at least one ordered pair."""
    num_groups: int
    """Groups of them that share no image and no text-only prompt."""
    num_pairs: int
    """Ordered pairs: those whose two labels differ."""
    a_better: int
    """Comparisons in which the first has more pairs right."""
    b_better: int
    """Comparisons in which the second has."""
    detectable: float
    """The least difference that this many Comparisons show 8 times in 10; 0 where every Comparison differs alike."""
    needed: int | None
    """Comparisons, in groups as large as these, that would show a true difference as large as this one 8 times in 10;
    None where there is none."""
    length_only: float
    """Accuracy of the rule that the longer response wins, by the tokens of the first; equal lengths count half."""
    a_over_length: Gain
    """`a_accuracy` less that of the rule."""
    b_over_length: Gain
    """`b_accuracy` less that of the rule, by the tokens of the second."""


@dataclass(frozen=True, kw_only=True)
class PairedComparison(PairedGroup):
    """Everything, and its parts that hold an ordered pair."""

    by_source: dict[str, PairedGroup]
    """By the source's name."""
    by_modality: dict[str, PairedGroup]
    """"image": Comparisons with an image; "text": those without."""
    confidence: float
    """Of every interval."""

    @property
    def by_group(self) -> dict[str, PairedGroup]:
        """Both modalities and every source; a source that is called like a modality is ``source/NAME``."""
        sources = {f"source/{name}" if name in self.by_modality else name: one for name, one in self.by_source.items()}
        return {**self.by_modality, **sources}

    def is_clear(self, group: PairedGroup | None = None) -> bool:
        """Whether the difference, of everything or of one part, is more than chance: by interval and by test."""
        one = group or self
        return not one.interval.low <= 0 <= one.interval.high and one.p_value <= 1 - self.confidence


def compare_paired(
    a: Sequence[ScoredComparison],
    b: Sequence[ScoredComparison],
    *,
    confidence: float = 0.95,
    bootstrap_samples: int = 1000,
    seed: int = 0,
) -> PairedComparison:
    """Compare two scorings of the same Comparisons, given in any order.

    Args:
        confidence: of every interval, between 0 and 1.
        bootstrap_samples: draws an interval.
        seed: of the draws.

    Raises:
        UserError: they are not the same Comparisons (`matching.match` finds those in both), labels differ, or one has
            no group.
        RunError: no pair of labels differs, or a reward is NaN or infinite.
        ValueError: `confidence` or `bootstrap_samples` is out of range.
    """
    return compare_paired_seeds([a], [b], confidence=confidence, bootstrap_samples=bootstrap_samples, seed=seed)


def compare_paired_seeds(
    a: Sequence[Sequence[ScoredComparison]],
    b: Sequence[Sequence[ScoredComparison]],
    *,
    confidence: float = 0.95,
    bootstrap_samples: int = 1000,
    seed: int = 0,
) -> PairedComparison:
    """The same for two kinds of models, each trained with several seeds: as many scorings of each.

    Right pairs are added up over the seeds, so a group is drawn with all of its scorings; `num_pairs` counts each pair
    once a seed. The interval is about other Comparisons, not about other seeds.

    Raises:
        as `compare_paired`; ValueError also where `a` and `b` do not hold as many scorings, or none.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} scorings against {len(b)}: compare as many of each, at least one")
    resampling = Resampling(confidence=confidence, samples=bootstrap_samples, seed=seed)
    first = a[0]
    counts, orders = None, []
    for of_a, of_b in zip(a, b, strict=True):
        for other in (of_a, of_b):
            match(first, other).check_same()
        matched = match(of_a, of_b)
        check_finite([*matched.a, *matched.b])
        orders += [matched.a, matched.b]
        counts = _Counts.of(matched.a, matched.b).plus(counts)
    assert counts is not None
    everything = counts.pairs > 0
    if not everything.any():
        raise RunError(f"all labels of the {len(matched.a)} comparisons tie, so none can be ranked; check the ranks")
    sources = np.array([one.source for one in matched.a], dtype=np.str_)
    images = np.array([one.num_images > 0 for one in matched.a], dtype=np.bool_)
    measure = _Measure(counts, group_codes(*orders), resampling)
    return PairedComparison(
        **vars(measure.part(everything)),
        by_source=measure.parts({str(name): sources == name for name in np.unique(sources)}),
        by_modality=measure.parts({"image": images, "text": ~images}),
        confidence=confidence,
    )


@dataclass(frozen=True)
class _Counts:
    """Right pairs of both, pairs, and what the longer response gets by the lengths of each: arrays of shape [N]."""

    a: Ints
    b: Ints
    pairs: Ints
    a_longer: Floats
    b_longer: Floats

    @classmethod
    def of(cls, a: Sequence[ScoredComparison], b: Sequence[ScoredComparison]) -> "_Counts":
        counted = [(ordered_margins(one), ordered_margins(other)) for one, other in zip(a, b, strict=True)]
        rows = [(sum(m > 0 for m in of_a), sum(m > 0 for m in of_b), len(of_a)) for of_a, of_b in counted]
        right = np.array(rows, dtype=np.int64)
        return cls(a=right[:, 0], b=right[:, 1], pairs=right[:, 2], a_longer=_longer(a), b_longer=_longer(b))

    def plus(self, other: "_Counts | None") -> "_Counts":
        """Of the same Comparisons, in the same order."""
        if other is None:
            return self
        return _Counts(*(one + two for one, two in zip(vars(self).values(), vars(other).values(), strict=True)))

    def where(self, members: Bools) -> "_Counts":
        """Those at which `members` [N] is set."""
        return _Counts(*(column[members] for column in vars(self).values()))


@dataclass(frozen=True)
class _Measure:
    """Makes numbers of counts [N] in groups [N]."""

    counts: _Counts
    groups: Ints
    resampling: Resampling

    def parts(self, members: dict[str, Bools]) -> dict[str, PairedGroup]:
        inside = {name: where & (self.counts.pairs > 0) for name, where in members.items()}
        return {name: self.part(where) for name, where in inside.items() if where.any()}

    def part(self, where: Bools) -> PairedGroup:
        """Measure the Comparisons where `where` [N] is set; each holds an ordered pair."""
        counts, groups = self.counts.where(where), self.groups[where]
        a, b, total = counts.a, counts.b, int(counts.pairs.sum())
        difference = float((b - a).sum() / total)
        (residuals,) = by_group(groups, b - a - difference * counts.pairs)
        (lead,) = by_group(groups, b - a)
        reach = NormalDist().inv_cdf((1 + self.resampling.confidence) / 2) + NormalDist().inv_cdf(POWER)
        detectable = reach * math.sqrt(float(residuals @ residuals)) / total
        return PairedGroup(
            a_accuracy=float(a.sum() / total),
            b_accuracy=float(b.sum() / total),
            difference=difference,
            interval=self._gain(b, a, counts, groups).interval,
            p_value=sign_flip_p_value(np.rint(lead).astype(np.int64)),
            num_comparisons=len(a),
            num_groups=len(lead),
            num_pairs=total,
            a_better=int((a > b).sum()),
            b_better=int((b > a).sum()),
            detectable=detectable,
            needed=max(1, math.ceil(len(a) * (detectable / difference) ** 2)) if difference else None,
            length_only=float(counts.a_longer.sum() / total),
            a_over_length=self._gain(a, counts.a_longer, counts, groups),
            b_over_length=self._gain(b, counts.b_longer, counts, groups),
        )

    def _gain(self, one: Ints, other: Ints | Floats, counts: _Counts, groups: Ints) -> Gain:
        """What `one` gets less what `other` gets, a pair; both [n]."""
        pairs = counts.pairs.astype(np.float64)
        first, second = one.astype(np.float64), other.astype(np.float64)
        return Gain(
            value=float((first - second).sum() / pairs.sum()),
            interval=difference_interval(first, second, pairs, groups, self.resampling),
        )


def _longer(scored: Sequence[ScoredComparison]) -> Floats:
    """[N] what the rule that the longer response wins gets of each Comparison."""
    gaps = [np.array(ordered_lengths(one), dtype=np.int64) for one in scored]
    return np.array([longer_wins(gap).sum() for gap in gaps], dtype=np.float64)
