"""From the points of a sweep to what they say: which is best, and how quality follows size, data and compute."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rm_core.scaling.power_law import NoFit, PowerLaw, fit_power_law
from rm_core.scaling.seeds import Place, rank
from rm_core.scaling.series import MEASURES, Measure, Series, TrialPoint, by_label, series_of, varies

__all__ = ["QUANTITIES", "Analysis", "Fit", "Quantity", "analyse"]


@dataclass(frozen=True, kw_only=True)
class Quantity:
    """What falls as a model grows."""

    name: str
    """"log-loss" or "error"."""

    def of(self, point: TrialPoint) -> float:
        return point.log_loss if self.name == "log-loss" else 1 - point.accuracy


QUANTITIES = (Quantity(name="log-loss"), Quantity(name="error"))
"""The error is 1 - pair accuracy."""


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One quantity along one line of points, with both forms of the law."""

    measure: Measure
    quantity: Quantity
    series: Series
    plain: PowerLaw | NoFit
    """a * x^-b."""
    with_floor: PowerLaw | NoFit
    """c + a * x^-b."""

    @property
    def best(self) -> PowerLaw | None:
        """The form that bargains better between closeness and numbers fitted; None where neither fits."""
        laws = [law for law in (self.plain, self.with_floor) if isinstance(law, PowerLaw)]
        return min(laws, key=lambda law: law.score) if laws else None

    @property
    def values(self) -> tuple[float, ...]:
        """The quantity at each point of the series."""
        return tuple(self.quantity.of(point) for point in self.series.points)


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """What the finished trials of a sweep say."""

    points: tuple[TrialPoint, ...]
    """In the given order."""
    metric: str
    """What the ranking is by."""
    higher_is_better: bool
    values: dict[str, float]
    """The metric of each point, by id."""
    places: tuple[Place, ...]
    """The labels, the best first."""
    fits: tuple[Fit, ...]
    """For each measure that varies: each quantity along each line."""
    confidence: float

    def of_label(self, label: str) -> list[TrialPoint]:
        return [point for point in self.points if point.label == label]


def analyse(
    points: Sequence[TrialPoint],
    values: Mapping[str, float],
    *,
    metric: str,
    higher_is_better: bool,
    scaling: bool | None = None,
    confidence: float = 0.95,
) -> Analysis:
    """Rank the points and fit laws through them; no number depends on their order.

    Args:
        points: finished trials; there may be none.
        values: the metric of each point, by id.
        metric: its name.
        scaling: whether to fit laws: for every measure, for none, or, unset, for those that vary.
        confidence: of all intervals.
    """
    groups = by_label(points)
    fits = [
        _fit(measure, quantity, line, confidence)
        for measure in MEASURES
        if points and (varies(points, measure) if scaling is None else scaling)
        for line in series_of(points, measure)
        for quantity in QUANTITIES
    ]
    by_name = {label: [values[point.id] for point in group] for label, group in groups.items()}
    return Analysis(
        points=tuple(points),
        metric=metric,
        higher_is_better=higher_is_better,
        values={point.id: values[point.id] for point in points},
        places=tuple(rank(by_name, higher_is_better=higher_is_better, confidence=confidence)) if by_name else (),
        fits=tuple(fits),
        confidence=confidence,
    )


def _fit(measure: Measure, quantity: Quantity, line: Series, confidence: float) -> Fit:
    losses = [quantity.of(point) for point in line.points]
    plain, with_floor = (
        fit_power_law(line.xs, losses, floor=floor, name=measure.unit, confidence=confidence) for floor in (False, True)
    )
    return Fit(measure=measure, quantity=quantity, series=line, plain=plain, with_floor=with_floor)
