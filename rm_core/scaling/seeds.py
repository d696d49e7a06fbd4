"""What seeds say about noise: means with intervals, and which point of a sweep is best.

Runs of one point differ by their seed alone, so their scatter is the noise that a difference between two points has to
exceed. It is taken to be the same at all points and pooled over them: with three points of two seeds each there are
three degrees of freedom for every comparison in place of two.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import t

__all__ = ["Place", "SeedMean", "pooled_means", "pooled_spread", "rank"]


@dataclass(frozen=True, kw_only=True)
class SeedMean:
    """Runs of one point."""

    value: float
    """Their mean."""
    low: float | None
    """Student's interval of the mean, from the pooled spread; None where no point has two seeds."""
    high: float | None
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """One point in the ranking."""

    label: str
    mean: SeedMean
    behind: float
    """How much worse than the best, in units of the metric, 0 or more."""
    low: float | None
    """Interval of `behind`; None for the best itself, and where no point has two seeds."""
    high: float | None

    @property
    def is_clear(self) -> bool | None:
        """Whether it is worse by more than the noise of seeds; None where that can't be known."""
        return None if self.low is None else self.low > 0


def pooled_spread(groups: Sequence[Sequence[float]]) -> tuple[float, int] | None:
    """Standard deviation over seeds within the groups, and its degrees of freedom; None where none has two seeds."""
    free = sum(len(group) - 1 for group in groups)
    if free == 0:
        return None
    squares = sum(float(np.sum((np.asarray(group) - np.mean(group)) ** 2)) for group in groups)
    return math.sqrt(squares / free), free


def pooled_means(points: Mapping[str, Sequence[float]], confidence: float = 0.95) -> dict[str, SeedMean]:
    """Mean and interval of each point: 0.8 and 0.9 alone give 0.85 (0.215 to 1.485) at 0.95.

    Args:
        points: label -> at least one value, one a seed.
    """
    spread = pooled_spread(list(points.values()))
    means = {}
    for label, values in points.items():
        mean, n = math.fsum(values) / len(values), len(values)
        reach = None if spread is None else _reach(spread, confidence) / math.sqrt(n)
        means[label] = SeedMean(
            value=mean,
            low=None if reach is None else mean - reach,
            high=None if reach is None else mean + reach,
            num_seeds=n,
        )
    return means


def rank(points: Mapping[str, Sequence[float]], *, higher_is_better: bool, confidence: float = 0.95) -> list[Place]:
    """The points, the best first, ties by label; each with its distance to the best.

    The intervals of the distances hold together: the confidence of each is raised for their number (Bonferroni).

    Args:
        points: label -> metric of each seed.
    """
    means = pooled_means(points, confidence)
    sign = 1 if higher_is_better else -1
    order = sorted(means, key=lambda label: (-sign * means[label].value, label))
    spread = pooled_spread(list(points.values()))
    best, *others = order
    places = [Place(label=best, mean=means[best], behind=0.0, low=None, high=None)]
    for label in others:
        behind = sign * (means[best].value - means[label].value)
        low = high = None
        if spread is not None:
            together = 1 - (1 - confidence) / len(others)
            reach = _reach(spread, together) * math.sqrt(1 / len(points[best]) + 1 / len(points[label]))
            low, high = behind - reach, behind + reach
        places.append(Place(label=label, mean=means[label], behind=behind, low=low, high=high))
    return places


def _reach(spread: tuple[float, int], confidence: float) -> float:
    """Half of Student's interval of one run."""
    return float(t.ppf((1 + confidence) / 2, spread[1])) * spread[0]
