"""The plot of a sweep's scaling laws: log-loss and accuracy against size, data or compute, with what the laws leave."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.pages.plots import style, ticks
from jobs.pages.plots.layouts import draw_mean, draw_runs
from rm_core.scaling.analysis import Fit
from rm_core.scaling.seeds import SeedMean, pooled_means

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["scaling_figure"]

_TITLES = {"log-loss": "held-out log-loss", "error": "held-out pair accuracy (scale: logarithm of the error)"}
_RESIDUALS = {"log-loss": "residual", "error": "of the error"}


def scaling_figure(fits: Sequence[Fit]) -> "Figure":
    """A column a quantity, each over its residuals; `fits` are all of one measure. Inside `plot_style`."""
    quantities = list(dict.fromkeys(fit.quantity.name for fit in fits))
    figure = style.new_figure(1120, 530, constrained=True)
    parts = figure.subplots(
        2, len(quantities), sharex="col", squeeze=False, gridspec_kw={"height_ratios": [3.2, 1], "hspace": 0.09}
    )
    for column, quantity in enumerate(quantities):
        above, below = parts[0][column], parts[1][column]
        chosen = [fit for fit in fits if fit.quantity.name == quantity]
        for index, fit in enumerate(chosen):
            _draw_fit(above, below, fit, style.COLOURS[index % len(style.COLOURS)])
        ticks.log_accuracy(above, [value for fit in chosen for value in fit.values], as_accuracy=quantity == "error")
        xs = [x for fit in chosen for x in fit.series.xs]
        above.set_xscale("log")
        above.set_xlim(min(xs) / 1.4, max(xs) * 1.4)
        ticks.log_scale(below.xaxis, *above.get_xlim())
        above.set_title(_TITLES[quantity])
        if len(chosen) > 1:
            above.legend(loc="best")
        _finish_residuals(below, chosen, quantity)
        below.set_xlabel(fits[0].measure.unit)
    return figure


def _finish_residuals(axes: "Axes", fits: Sequence[Fit], quantity: str) -> None:
    axes.axhline(0, color=style.CHANCE, linewidth=1)
    axes.set_ylabel(_RESIDUALS[quantity])
    ticks.linear(axes.yaxis, words=lambda value: f"{100 * value:+.3g} %" if value else "0")
    reach = 1.25 * max([abs(one) for fit in fits if fit.best for one in fit.best.residuals] or [0.01])
    axes.set_ylim(-max(reach, 1e-4), max(reach, 1e-4))
    if not any(fit.best for fit in fits):
        axes.text(0.5, 0.5, "no law fits", transform=axes.transAxes, ha="center", va="center", color=style.SOFT)
        axes.set_yticks([])


def _draw_fit(above: "Axes", below: "Axes", fit: Fit, colour: str) -> None:
    """One line of points with its law, and its residuals below."""
    law, xs = fit.best, fit.series.xs
    groups: dict[str, tuple[float, list[float]]] = {}
    for x, point, value in zip(xs, fit.series.points, fit.values, strict=True):
        groups.setdefault(point.label, (x, []))[1].append(value)
    draw_runs(above, xs, fit.values, colour)
    logs = pooled_means({label: [math.log(max(v, 1e-12)) for v in values] for label, (_, values) in groups.items()})
    for label, (x, _) in groups.items():
        draw_mean(above, _exponential(logs[label]), x, colour, name=label)
    if law is None:
        above.plot([], [], color=colour, label=fit.series.name)
        return
    grid = np.geomspace(min(xs) / 1.25, max(xs) * 1.25, 90)
    band = np.array([law.band(float(x)) for x in grid])
    above.fill_between(grid, band[:, 0], band[:, 1], color=colour, alpha=0.13, linewidth=0)
    line = [law.at(float(x)) for x in grid]
    (drawn,) = above.plot(grid, line, color=colour, linewidth=1.7, label=fit.series.name)
    if not law.is_clear:
        drawn.set_dashes((4, 3))
    below.vlines(xs, 0, law.residuals, color=colour, alpha=0.35, linewidth=1.2)
    below.scatter(xs, law.residuals, s=18, color=colour, linewidths=0, zorder=3)


def _exponential(mean: SeedMean) -> SeedMean:
    """Of the mean of logarithms."""
    low, high = (None if end is None else math.exp(end) for end in (mean.low, mean.high))
    return SeedMean(value=math.exp(mean.value), low=low, high=high, num_seeds=mean.num_seeds)
