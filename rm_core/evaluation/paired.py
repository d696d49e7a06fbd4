"""Which of two models is better, asked of the same Comparisons.

Both have seen the same prompts, so what counts is where they differ. A *discordant* Comparison is one in which one
model has more pairs right than the other; the rest say nothing about which is better, and drop out of the test.

    >>> from rm_core.scoring.scored import ScoredComparison
    >>> def scored(*margins):
    ...     return [ScoredComparison(id=str(i), source="s", rewards=(m, 0.0), ranks=(0, 1), response_lengths=(1, 1),
    ...                              num_images=0) for i, m in enumerate(margins)]
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
from scipy.signal import fftconvolve
from scipy.stats import binom

from data_pipeline.errors import RunError
from rm_core.evaluation.intervals import Interval, Resampling, difference_interval, wilson
from rm_core.evaluation.matching import match
from rm_core.evaluation.pairs import ordered_margins
from rm_core.scoring.scored import ScoredComparison, check_finite

__all__ = ["POWER", "PairedComparison", "PairedGroup", "compare_paired", "compare_paired_seeds", "sign_flip_p_value"]

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
    """Of `difference`; whole Comparisons are drawn, both scorings of one together."""
    p_value: float
    """Chance of a difference at least as large, up or down, if both were equally good: `sign_flip_p_value`."""
    num_comparisons: int
    """Comparisons with at least one ordered pair."""
    num_pairs: int
    """Ordered pairs: those whose two labels differ."""
    a_better: int
    """Comparisons in which the first has more pairs right."""
    b_better: int
    """Comparisons in which the second has."""
    detectable: float
    """The least difference that this many Comparisons show 8 times in 10; 0 where every Comparison differs alike."""
    needed: int | None
    """Comparisons that would show a true difference as large as this one 8 times in 10; None where there is none."""


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
        UserError: they are not the same Comparisons (`matching.match` finds those in both), or labels differ.
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

    Right pairs are added up over the seeds, so a Comparison is drawn with all of its scorings; `num_pairs` counts each
    pair once a seed. The interval is about other Comparisons, not about other seeds.

    Raises:
        as `compare_paired`; ValueError also where `a` and `b` do not hold as many scorings, or none.
    """
    if len(a) != len(b) or not a:
        raise ValueError(f"{len(a)} scorings against {len(b)}: compare as many of each, at least one")
    resampling = Resampling(confidence=confidence, samples=bootstrap_samples, seed=seed)
    first = a[0]
    counts = None
    for of_a, of_b in zip(a, b, strict=True):
        for other in (of_a, of_b):
            match(first, other).check_same()
        matched = match(of_a, of_b)
        check_finite([*matched.a, *matched.b])
        counts = _Counts.of(matched.a, matched.b).plus(counts)
    assert counts is not None
    everything = counts.pairs > 0
    if not everything.any():
        raise RunError(f"all labels of the {len(matched.a)} comparisons tie, so none can be ranked; check the ranks")
    sources = np.array([one.source for one in matched.a], dtype=np.str_)
    images = np.array([one.num_images > 0 for one in matched.a], dtype=np.bool_)
    modalities = {"image": images, "text": ~images}
    return PairedComparison(
        **vars(counts.group(everything, resampling)),
        by_source=counts.groups({str(name): sources == name for name in np.unique(sources)}, resampling),
        by_modality=counts.groups(modalities, resampling),
        confidence=confidence,
    )


def sign_flip_p_value(differences: Ints) -> float:
    """Two-sided exact test of `differences` [N], whole numbers, one a Comparison.

    If both models were equally good, each Comparison could as well have come out the other way round: the value is the
    share of the 2^n ways to give signs to the n discordant ones whose sum is at least as far from 0. Where every
    Comparison has one pair this is McNemar's exact test. 6 against 0 give 2/64 = 0.03125.

    Source: R. A. Fisher, The Design of Experiments (1935), section 21; Q. McNemar, Psychometrika 12 (1947).
    """
    sizes, counts = np.unique(np.abs(differences[differences != 0]), return_counts=True)
    if not len(sizes):
        return 1.0
    chances = np.ones(1)  # of each sum from -reach to reach in steps of 1
    for size, count in zip(sizes, counts, strict=True):
        steps = np.zeros(2 * size * count + 1)
        steps[:: 2 * size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = fftconvolve(chances, steps) if len(chances) > 1 else steps
    reach = len(chances) // 2
    far = np.abs(np.arange(-reach, reach + 1)) >= abs(int(differences.sum()))
    return float(min(1.0, max(0.0, chances[far].sum())))


@dataclass(frozen=True)
class _Counts:
    """Right pairs of both, and pairs, by Comparison: three arrays of shape [N]."""

    a: Ints
    b: Ints
    pairs: Ints

    @classmethod
    def of(cls, a: Sequence[ScoredComparison], b: Sequence[ScoredComparison]) -> "_Counts":
        counted = [(ordered_margins(one), ordered_margins(other)) for one, other in zip(a, b, strict=True)]
        rows = [(sum(m > 0 for m in of_a), sum(m > 0 for m in of_b), len(of_a)) for of_a, of_b in counted]
        right = np.array(rows, dtype=np.int64)
        return cls(*right.T)

    def plus(self, other: "_Counts | None") -> "_Counts":
        """Of the same Comparisons, in the same order."""
        if other is None:
            return self
        return _Counts(self.a + other.a, self.b + other.b, self.pairs + other.pairs)

    def groups(self, members: dict[str, Bools], resampling: Resampling) -> dict[str, PairedGroup]:
        inside = {name: where & (self.pairs > 0) for name, where in members.items()}
        return {name: self.group(where, resampling) for name, where in inside.items() if where.any()}

    def group(self, where: Bools, resampling: Resampling) -> PairedGroup:
        """Measure the Comparisons where `where` [N] is set; each holds an ordered pair."""
        a, b, pairs = self.a[where], self.b[where], self.pairs[where]
        total = int(pairs.sum())
        difference = float((b - a).sum() / total)
        spread = float(np.std((b - a - difference * pairs) / pairs.mean()))  # of one Comparison's share in it
        reach = NormalDist().inv_cdf((1 + resampling.confidence) / 2) + NormalDist().inv_cdf(POWER)
        return PairedGroup(
            a_accuracy=float(a.sum() / total),
            b_accuracy=float(b.sum() / total),
            difference=difference,
            interval=_interval(a, b, pairs, resampling),
            p_value=sign_flip_p_value(b - a),
            num_comparisons=len(pairs),
            num_pairs=total,
            a_better=int((a > b).sum()),
            b_better=int((b > a).sum()),
            detectable=reach * spread / math.sqrt(len(pairs)),
            needed=max(1, math.ceil((reach * spread / difference) ** 2)) if difference else None,
        )


def _interval(a: Ints, b: Ints, pairs: Ints, resampling: Resampling) -> Interval:
    """By bootstrap; where all Comparisons have one difference it would claim certainty.

    There at most a share u of Comparisons can be another way, u from Wilson's interval of 0 among N, and each of them
    by at most 1 + |difference|: 0 of 100 that differ leave -0.037 to 0.037.
    """
    shares = (b - a) / pairs
    value = float(shares[0])
    if shares.min() < shares.max():
        return difference_interval(b.astype(np.float64), a.astype(np.float64), pairs.astype(np.float64), resampling)
    slack = (1 + abs(value)) * wilson(0, len(pairs), resampling.confidence).high
    return Interval(low=max(-1.0, value - slack), high=min(1.0, value + slack), method="wilson")
