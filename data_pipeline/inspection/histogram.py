"""Many numbers as a few bars, with the numbers a person asks for first."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Distribution", "Histogram", "distribution"]

MAX_BARS = 28
_TAIL = 0.99  # what is longer than this share of all goes into the last bar, where it would flatten the others


@dataclass(frozen=True, kw_only=True)
class Histogram:
    """Bars of equal width over whole numbers.

    Attributes:
        edges: bar i counts values from edges[i] up to, without, edges[i + 1]; one more than there are bars.
        counts: values in each bar.
        above: values from edges[-1] on, up to the largest.
    """

    edges: tuple[int, ...]
    counts: tuple[int, ...]
    above: int


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """One quantity over all Comparisons or responses.

    Attributes:
        name: what it is.
        unit: what one of it is: tokens, images.
        of: what has it: Comparisons, responses.
        limit: what the config bounds it by, if anything.
        count: how many values there are; without values the other numbers are 0.
    """

    name: str
    unit: str
    of: str
    limit: int | None
    count: int
    least: int
    median: float
    mean: float
    p95: float
    most: int
    histogram: Histogram


def distribution(
    values: npt.NDArray[np.int64], *, name: str, unit: str, of: str, limit: int | None = None
) -> Distribution:
    """Sum up whole numbers >= 0: int64 [N].

    Small ranges get one bar a value; larger ones at most 28 bars of round width.
    """
    if len(values) == 0:
        values = np.zeros(0, dtype=np.int64)
    some = values if len(values) else np.zeros(1, dtype=np.int64)
    return Distribution(
        name=name,
        unit=unit,
        of=of,
        limit=limit,
        count=len(values),
        least=int(some.min()),
        median=float(np.median(some)),
        mean=float(some.mean()),
        p95=float(np.percentile(some, 95)),
        most=int(some.max()),
        histogram=_histogram(values),
    )


def _histogram(values: npt.NDArray[np.int64]) -> Histogram:
    if len(values) == 0:
        return Histogram(edges=(0, 1), counts=(0,), above=0)
    least, most = int(values.min()), int(values.max())
    tail = math.ceil(float(np.quantile(values, _TAIL)))
    if tail - least >= MAX_BARS and most - least > 2 * (tail - least):
        most = tail
    width = _round_width((most - least + 1) / MAX_BARS)
    first, last = least // width, most // width + 1
    places = values // width - first
    counts = np.bincount(places[places < last - first], minlength=last - first)
    return Histogram(
        edges=tuple(width * edge for edge in range(first, last + 1)),
        counts=tuple(int(count) for count in counts),
        above=int((places >= last - first).sum()),
    )


def _round_width(least: float) -> int:
    """The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`."""
    power = 1
    while True:
        for size in (1, 2, 5):
            if size * power >= least:
                return size * power
        power *= 10
