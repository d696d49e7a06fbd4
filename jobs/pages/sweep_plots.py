"""The plots of a sweep's report as PNG: the same bytes for the same points.

Dots are single runs, a ring with whiskers is the mean of the seeds with its interval, a line with a band a fitted law.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.pages.plot_parts import (
    COLOURS,
    INK,
    SOFT,
    axis_ticks,
    bounded,
    house_style,
    last_part,
    logarithmic,
    metric_words,
    new_figure,
    plain_ticks,
    positions,
    shortened,
    to_png,
    whisker,
)
from rm_core.scaling.analysis import Analysis, Fit
from rm_core.scaling.points import TrialPoint
from rm_core.scaling.seeds import SeedMean, pooled_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

__all__ = ["axis_plot", "cost_plot", "grid_plot", "ranking_plot", "scaling_plot"]


_TITLES = {"log-loss": "held-out log-loss", "error": "held-out pair accuracy (scale: logarithm of the error)"}


def scaling_plot(fits: Sequence[Fit]) -> bytes:
    """Log-loss and error against one measure, with their laws, over the residuals; `fits` are all of that measure."""
    quantities = list(dict.fromkeys(fit.quantity.name for fit in fits))
    with house_style():
        figure = new_figure(11.2, 5.4)
        parts = figure.subplots(
            2, len(quantities), sharex="col", squeeze=False, gridspec_kw={"height_ratios": [3.2, 1], "hspace": 0.09}
        )
        for column, quantity in enumerate(quantities):
            above, below = parts[0][column], parts[1][column]
            chosen = [fit for fit in fits if fit.quantity.name == quantity]
            for index, fit in enumerate(chosen):
                _line(above, below, fit, COLOURS[index % len(COLOURS)])
            logarithmic(above, [value for fit in chosen for value in fit.values], as_accuracy=quantity == "error")
            above.set_xscale("log")
            above.set_title(_TITLES[quantity])
            if len(chosen) > 1:
                above.legend(loc="best")
            below.axhline(0, color="#8f8e87", linewidth=1)
            below.set_ylabel("residual" if quantity == "log-loss" else "of the error")
            below.set_xlabel(fits[0].measure.unit)
            below.yaxis.set_major_formatter(lambda value, _: f"{100 * value:+.3g} %" if value else "0")
            reach = 1.25 * max([abs(one) for fit in chosen if fit.best for one in fit.best.residuals] or [0.01])
            below.set_ylim(-max(reach, 1e-4), max(reach, 1e-4))
            if not any(fit.best for fit in chosen):
                below.text(0.5, 0.5, "no law fits", transform=below.transAxes, ha="center", va="center", color=SOFT)
                below.set_yticks([])
        return to_png(figure)


def ranking_plot(analysis: Analysis) -> bytes:
    """The metric of every label, the best on top."""
    with house_style():
        figure = new_figure(7.6, 0.9 + 0.36 * len(analysis.places))
        axes = figure.subplots()
        for row, place in enumerate(analysis.places):
            colour = COLOURS[0] if row == 0 else SOFT
            values = [analysis.values[point.id] for point in analysis.of_label(place.label)]
            axes.scatter(values, [row] * len(values), s=16, color=colour, alpha=0.45, linewidths=0, zorder=3)
            whisker(axes, place.mean, row, colour, across=True)
        axes.set_yticks(range(len(analysis.places)), [shortened(place.label) for place in analysis.places], color=INK)
        axes.set_ylim(len(analysis.places) - 0.4, -0.6)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel(metric_words(analysis.metric))
        bounded(axes, list(analysis.values.values()), across=True)
        return to_png(figure)


def cost_plot(analysis: Analysis) -> bytes:
    """The metric against dollars, or GPU-hours where a price is missing; the line joins what nothing cheaper beats."""
    with house_style():
        figure = new_figure(7.6, 4.2)
        axes = figure.subplots()
        spent = {point.id: point.cost for point in analysis.points if point.cost is not None}
        priced = len(spent) == len(analysis.points)
        means = []
        for place in analysis.places:
            group = analysis.of_label(place.label)
            paid = [spent[point.id] if priced else point.gpu_hours for point in group]
            values = [analysis.values[point.id] for point in group]
            axes.scatter(paid, values, s=16, color=COLOURS[0], alpha=0.4, linewidths=0, zorder=3)
            means.append((sum(paid) / len(paid), place.mean.value, place.label))
        front = _front(means, analysis.higher_is_better)
        axes.plot([x for x, _, _ in front], [y for _, y, _ in front], color=COLOURS[1], linewidth=1.6, zorder=2)
        axes.scatter(
            [x for x, _, _ in means],
            [y for _, y, _ in means],
            s=46,
            facecolors="white",
            edgecolors=COLOURS[0],
            linewidths=1.8,
            zorder=4,
        )
        if all(x > 0 for x, _, _ in means):
            axes.set_xscale("log")
            plain_ticks(axes, [x for x, _, _ in means], across=True)
        for x, y, label in front if len(means) > 8 else means:
            axes.annotate(shortened(label, 22), (x, y), (8, -13), textcoords="offset points", fontsize=8.5, color=INK)
        axes.margins(x=0.14, y=0.16)
        axes.set_xlabel("dollars a run" if priced else "GPU-hours a run (workers × hours)")
        axes.set_ylabel(metric_words(analysis.metric))
        return to_png(figure)


def grid_plot(analysis: Analysis, rows: str, columns: str, labels: dict[str, list[str]]) -> bytes:
    """The mean metric over two axes of a study as coloured cells; what did not run stays empty."""
    cells = np.full((len(labels[rows]), len(labels[columns])), np.nan)
    for y, row in enumerate(labels[rows]):
        for x, column in enumerate(labels[columns]):
            found = [
                analysis.values[point.id]
                for point in analysis.points
                if (point.axes.get(rows), point.axes.get(columns)) == (row, column)
            ]
            if found:
                cells[y, x] = sum(found) / len(found)
    with house_style():
        figure = new_figure(2.6 + 0.95 * cells.shape[1], 1.3 + 0.5 * cells.shape[0])
        axes = figure.subplots()
        low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
        good = (cells - low) / (high - low) if high > low else np.where(np.isnan(cells), np.nan, 0.5)
        good = good if analysis.higher_is_better else 1 - good
        axes.imshow(good, cmap=_blues(), vmin=0, vmax=1, aspect="auto")
        for (y, x), value in np.ndenumerate(cells):
            text, colour = ("", INK) if math.isnan(value) else (f"{value:.3f}", "white" if good[y, x] > 0.6 else INK)
            axes.text(x, y, text, ha="center", va="center", color=colour, fontsize=9.5)
        axes.set_xticks(range(cells.shape[1]), [shortened(one, 14) for one in labels[columns]], color=INK)
        axes.set_yticks(range(cells.shape[0]), [shortened(one, 14) for one in labels[rows]], color=INK)
        axes.set_xlabel(last_part(columns))
        axes.set_ylabel(last_part(rows))
        axes.grid(visible=False)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return to_png(figure)


def axis_plot(analysis: Analysis, axis: str, labels: Sequence[str]) -> bytes:
    """The metric along one axis of a study: over its numbers where it has numbers, else label by label."""
    places = positions(labels)
    lines: dict[str, list[TrialPoint]] = {}
    for point in analysis.points:
        if axis in point.axes:
            rest = ", ".join(_named(name, label) for name, label in sorted(point.axes.items()) if name != axis)
            lines.setdefault(rest, []).append(point)
    joined = len(lines) <= len(COLOURS)
    seeds = {place.label: place.mean for place in analysis.places}
    with house_style():
        figure = new_figure(7.6, 3.9)
        axes = figure.subplots()
        for index, (name, points) in enumerate(sorted(lines.items())):
            colour = COLOURS[index if joined else 0]
            means = []
            for label in sorted({point.axes[axis] for point in points}, key=places.__getitem__):
                values = [analysis.values[point.id] for point in points if point.axes[axis] == label]
                axes.scatter(
                    [places[label]] * len(values), values, s=16, color=colour, alpha=0.4, linewidths=0, zorder=3
                )
                means.append((places[label], sum(values) / len(values)))
                (name_of,) = {point.label for point in points if point.axes[axis] == label}
                whisker(axes, seeds[name_of], places[label], colour)
            if joined:
                axes.plot(*zip(*means, strict=True), color=colour, linewidth=1.6, zorder=2, label=shortened(name))
        axis_ticks(axes, labels, places)
        axes.set_xlabel(last_part(axis))
        axes.set_ylabel(metric_words(analysis.metric))
        if joined and len(lines) > 1:
            axes.legend(loc="best")
        bounded(axes, list(analysis.values.values()))
        return to_png(figure)


def _line(above: "Axes", below: "Axes", fit: Fit, colour: str) -> None:
    """One line of points with its law, and its residuals below."""
    law = fit.best
    groups: dict[str, tuple[float, list[float]]] = {}
    for x, point, value in zip(fit.series.xs, fit.series.points, fit.values, strict=True):
        groups.setdefault(point.label, (x, []))[1].append(value)
    above.scatter(fit.series.xs, fit.values, s=16, color=colour, alpha=0.4, linewidths=0, zorder=3)
    logs = pooled_means({label: [math.log(max(v, 1e-12)) for v in values] for label, (_, values) in groups.items()})
    for label, (x, _) in groups.items():
        whisker(above, _exponential(logs[label]), x, colour)
    if law is None:
        above.plot([], [], color=colour, label=fit.series.name)
        return
    grid = np.geomspace(min(fit.series.xs) / 1.25, max(fit.series.xs) * 1.25, 90)
    band = np.array([law.band(float(x)) for x in grid])
    above.fill_between(grid, band[:, 0], band[:, 1], color=colour, alpha=0.13, linewidth=0)
    style = "-" if law.is_clear else (0, (4, 3))
    above.plot(
        grid, [law.at(float(x)) for x in grid], color=colour, linewidth=1.7, linestyle=style, label=fit.series.name
    )
    below.vlines(fit.series.xs, 0, law.residuals, color=colour, alpha=0.35, linewidth=1.2)
    below.scatter(fit.series.xs, law.residuals, s=18, color=colour, linewidths=0, zorder=3)


def _exponential(mean: SeedMean) -> SeedMean:
    """Of the mean of logarithms."""
    low, high = (None if end is None else math.exp(end) for end in (mean.low, mean.high))
    return SeedMean(value=math.exp(mean.value), low=low, high=high, num_seeds=mean.num_seeds)


def _named(axis: str, label: str) -> str:
    """A label that means something beside others: ``layers 2``, ``silu``."""
    return f"{last_part(axis)} {label}" if label[:1].isdigit() else label


def _front(means: Sequence[tuple[float, float, str]], higher_is_better: bool) -> list[tuple[float, float, str]]:
    """Those that nothing cheaper equals, from cheap to dear."""
    front: list[tuple[float, float, str]] = []
    sign = 1 if higher_is_better else -1
    for one in sorted(means, key=lambda mean: (mean[0], -sign * mean[1], mean[2])):
        if not front or sign * one[1] > sign * front[-1][1]:
            front.append(one)
    return front


def _blues() -> "Colormap":
    from matplotlib.colors import LinearSegmentedColormap

    blues = LinearSegmentedColormap.from_list("blues", ["#eef3fb", "#8fb4e4", "#2a6fc9", "#174a8c"])
    return blues.with_extremes(bad="#f1f0ec")
