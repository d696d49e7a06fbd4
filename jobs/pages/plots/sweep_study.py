"""The plots of a sweep's ranking, its cost and its axes. Each is drawn inside `plot_style`.

Dots are single runs, a ring with a line is the mean of the seeds with its interval.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.pages.formats import shortened
from jobs.pages.plots import style, ticks
from jobs.pages.plots.layouts import COLUMN_WIDTH, draw_mean, draw_runs, last_part, metric_words
from jobs.pages.plots.svg import tip
from rm_core.scaling.analysis import Analysis
from rm_core.scaling.series import TrialPoint

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["axis_figure", "cost_figure", "ranking_figure"]


def ranking_figure(analysis: Analysis) -> "Figure":
    """The metric of every label, the best on top."""
    figure = style.new_figure(COLUMN_WIDTH, 66 + 30 * len(analysis.places), constrained=True)
    axes = figure.subplots()
    for row, place in enumerate(analysis.places):
        colour = style.MARK if row == 0 else style.SOFT
        values = [analysis.values[point.id] for point in analysis.of_label(place.label)]
        draw_runs(axes, values, [row] * len(values), colour)
        draw_mean(axes, place.mean, row, colour, name=place.label, across=True)
    axes.set_yticks(range(len(analysis.places)), [shortened(place.label) for place in analysis.places], color=style.INK)
    axes.set_ylim(len(analysis.places) - 0.4, -0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel(metric_words(analysis.metric))
    ticks.bounded(axes, list(analysis.values.values()), across=True)
    return figure


def cost_figure(analysis: Analysis) -> "Figure":
    """The metric against dollars, or worker-hours where a price is missing; the line joins what nothing cheaper has."""
    figure = style.new_figure(COLUMN_WIDTH, 310, constrained=True)
    axes = figure.subplots()
    spent = {point.id: point.cost for point in analysis.points if point.cost is not None}
    is_priced = len(spent) == len(analysis.points)
    means = []
    for place in analysis.places:
        group = analysis.of_label(place.label)
        paid = [spent[point.id] if is_priced else point.gpu_hours for point in group]
        draw_runs(axes, paid, [analysis.values[point.id] for point in group], style.MARK)
        means.append((sum(paid) / len(paid), place.mean.value, place.label))
    front = _front(means, analysis.higher_is_better)
    axes.plot([x for x, _, _ in front], [y for _, y, _ in front], color=style.OTHER, linewidth=1.6, zorder=2)
    for x, y, label in means:
        (ring,) = axes.plot(
            [x], [y], "o", color=style.CARD, markeredgecolor=style.MARK, markersize=7.5, markeredgewidth=1.8, zorder=4
        )
        tip(ring, label)
    if all(x > 0 for x, _, _ in means):
        axes.set_xscale("log")
        ticks.log_scale(axes.xaxis, min(means)[0], max(means)[0])
    for x, y, label in front if len(means) > 8 else means:
        axes.annotate(shortened(label, 22), (x, y), (8, -15), textcoords="offset points", fontsize=11)
    axes.margins(x=0.14, y=0.16)
    ticks.linear(axes.yaxis, words=lambda value: f"{value:.4g}")
    axes.set_xlabel("dollars a run" if is_priced else "worker-hours a run")
    axes.set_ylabel(metric_words(analysis.metric))
    return figure


def axis_figure(analysis: Analysis, axis: str, labels: Sequence[str]) -> "Figure":
    """The metric along one axis of a study: over its numbers where it has numbers, else label by label."""
    places = ticks.positions(labels)
    lines: dict[str, list[TrialPoint]] = {}
    for point in analysis.points:
        if axis in point.axes:
            rest = ", ".join(_named(name, label) for name, label in sorted(point.axes.items()) if name != axis)
            lines.setdefault(rest, []).append(point)
    is_joined = len(lines) <= len(style.COLOURS)
    seeds = {place.label: place.mean for place in analysis.places}
    figure = style.new_figure(COLUMN_WIDTH, 290, constrained=True)
    axes = figure.subplots()
    for index, (name, points) in enumerate(sorted(lines.items())):
        colour = style.COLOURS[index if is_joined else 0]
        means = []
        for label in sorted({point.axes[axis] for point in points}, key=places.__getitem__):
            values = [analysis.values[point.id] for point in points if point.axes[axis] == label]
            draw_runs(axes, [places[label]] * len(values), values, colour)
            means.append((places[label], sum(values) / len(values)))
            (trial,) = {point.label for point in points if point.axes[axis] == label}
            draw_mean(axes, seeds[trial], places[label], colour, name=trial)
        if is_joined:
            axes.plot(*zip(*means, strict=True), color=colour, linewidth=1.6, zorder=2, label=shortened(name))
    ticks.label_ticks(axes, labels, places)
    axes.set_xlabel(last_part(axis))
    axes.set_ylabel(metric_words(analysis.metric))
    if is_joined and len(lines) > 1:
        axes.legend(loc="best")
    ticks.bounded(axes, list(analysis.values.values()))
    return figure


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
