"""What a sweep's page shows, as cards and rows of tables."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.pages.formats import Card, Row, count, number, p_value, score
from jobs.pages.sweep_words import OverLength, length_cells, mean_words, noise_words
from rm_core.evaluation.paired import PairedComparison
from rm_core.scaling.analysis import Analysis
from rm_core.scaling.seeds import Place
from rm_core.scaling.series import TrialPoint

__all__ = [
    "Absent",
    "SourceView",
    "point_columns",
    "point_rows",
    "ranking_columns",
    "ranking_rows",
    "source_rows",
    "sweep_cards",
]


@dataclass(frozen=True, kw_only=True)
class Absent:
    """A trial without a point, as cells."""

    label: str
    seed: str
    state: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class SourceView:
    """A label's accuracies by source."""

    label: str
    cells: Sequence[tuple[str, bool]]
    """Accuracy, and whether it is the best of its source; an empty text where it was not evaluated on the source."""


def sweep_cards(analysis: Analysis) -> list[Card]:
    """The headline numbers, as far as there are any."""
    cards = []
    if analysis.places:
        best = analysis.places[0]
        size = count(analysis.of_label(best.label)[0].num_parameters)
        name = f"Best {analysis.metric.replace('_', ' ')}"
        cards.append(Card(name=name, value=score(best.mean.value), note=mean_words(best.mean), style="first"))
        cards.append(Card(name="Reached by", value=best.label, note=f"{size} parameters"))
    hours = sum(point.gpu_hours for point in analysis.points)
    cards.append(Card(name="Worker-hours", value=number(hours), note="a worker has one GPU, or CPUs; finished trials"))
    costs = [point.cost for point in analysis.points if point.cost is not None]
    if costs:
        trials = "finished trials" if len(costs) == len(analysis.points) else f"the {len(costs)} priced trials"
        cards.append(Card(name="Cost", value=f"$ {number(sum(costs))}", note=trials))
    for fit in analysis.fits[:1]:
        law = fit.best
        if law is not None and law.is_clear:
            note = f"{fit.quantity.name}{'' if law.floor is None else ', above its floor'}"
            cards.append(Card(name=f"10 × {fit.measure.name}", value=f"× {law.factor(10):.3g}", note=note))
    return cards


def ranking_columns(items: Mapping[str, PairedComparison], lengths: Mapping[str, OverLength]) -> list[str]:
    """Of `ranking_rows`; the first two are the place and the label."""
    paired = ["behind on the same Comparisons", "interval", "p", "Comparisons", "groups"] if items else []
    length = ["over the longer answer", "interval"] if lengths else []
    return ["", "", "mean", "interval", "seeds", "behind", "interval over seeds", *paired, *length, "more than noise?"]


def ranking_rows(
    analysis: Analysis, items: Mapping[str, PairedComparison], lengths: Mapping[str, OverLength]
) -> list[Row]:
    """The labels, the best first, with their distance to it over seeds and on the same Comparisons, and what they have
    over the rule that the longer answer wins.
    """
    return [_ranking_row(index, place, items, lengths) for index, place in enumerate(analysis.places)]


def _ranking_row(
    index: int, place: Place, items: Mapping[str, PairedComparison], lengths: Mapping[str, OverLength]
) -> Row:
    cells = [score(place.mean.value), mean_words(place.mean), str(place.mean.num_seeds)]
    cells.append(score(place.behind) if index else "")
    cells.append("" if place.low is None or place.high is None else f"{score(place.low)} to {score(place.high)}")
    paired = items.get(place.label)
    if paired is not None:
        interval = f"{score(-paired.interval.high)} to {score(-paired.interval.low)}"
        cells += [score(-paired.difference), interval, p_value(paired.p_value)]
        cells += [f"{paired.num_comparisons:,}", f"{paired.num_groups:,}"]
    elif items:
        cells += [""] * 5
    if lengths:
        cells += length_cells(lengths.get(place.label))
    cells.append(noise_words(place, items) if index else "best")
    return Row(name=place.label, cells=cells, style="" if index else "best")


def source_rows(analysis: Analysis) -> tuple[list[str], list[SourceView]]:
    """The sources, and the mean accuracy by label and source."""
    names = sorted({name for point in analysis.points for name in point.by_source})
    means = {place.label: _source_means(analysis.of_label(place.label)) for place in analysis.places}
    top = {name: max((row.get(name, -math.inf) for row in means.values()), default=0.0) for name in names}
    rows = []
    for label, row in means.items():
        cells = [("" if name not in row else score(row[name]), row.get(name) == top[name]) for name in names]
        rows.append(SourceView(label=label, cells=cells))
    return names, rows


def _source_means(points: Sequence[TrialPoint]) -> dict[str, float]:
    """Of the sources that all of the points were evaluated on."""
    names = set.intersection(*(set(point.by_source) for point in points))
    return {name: math.fsum(point.by_source[name] for point in points) / len(points) for name in sorted(names)}


def point_columns(analysis: Analysis) -> list[str]:
    """Of `point_rows`."""
    names = ["", "seed", "parameters", "Comparisons", "FLOPs", "worker-hours", "dollars", "accuracy", "log-loss"]
    own = [analysis.metric.replace("_", " ")] if _has_own_metric(analysis) else []
    return [*names, "train loss", *own, "MLflow run"]


def point_rows(analysis: Analysis) -> list[Row]:
    """One finished trial a line."""
    rows = []
    for point in analysis.points:
        cells = [
            str(point.seed),
            count(point.num_parameters),
            count(point.num_comparisons),
            f"{point.compute_flops:.3g}",
            number(point.gpu_hours),
            "" if point.cost is None else number(point.cost),
            score(point.accuracy),
            score(point.log_loss),
            score(point.train_loss),
            *([score(analysis.values[point.id])] if _has_own_metric(analysis) else []),
            point.mlflow_run_id[:8],
        ]
        rows.append(Row(name=point.label, cells=cells))
    return rows


def _has_own_metric(analysis: Analysis) -> bool:
    """Whether the ranking is by a number that has no column yet."""
    return analysis.metric not in ("accuracy", "log_loss", "train_loss")
