"""What several plots of a sweep share: markers of runs and of means, and labels of axes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.pages.formats import score
from jobs.pages.plots import style
from jobs.pages.plots.svg import tip
from rm_core.scaling.seeds import SeedMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["COLUMN_WIDTH", "draw_mean", "draw_runs", "last_part", "metric_words"]

COLUMN_WIDTH = 560
"""Of a figure that stands two in a line, in pixels."""


def draw_runs(axes: "Axes", xs: Sequence[float], ys: Sequence[float], colour: str) -> None:
    """A small dot a run."""
    axes.scatter(xs, ys, s=18, color=colour, alpha=0.45, linewidths=0, zorder=3)


def draw_mean(axes: "Axes", mean: SeedMean, at: float, colour: str, *, name: str = "", across: bool = False) -> None:
    """A ring at the mean; its interval as a line where seeds give one.

    Args:
        at: its place on the other scale.
        name: shown with the mean to who points at it.
        across: whether the mean is on the x axis.
    """
    if mean.low is not None and mean.high is not None:
        ends = ([mean.low, mean.high], [at, at]) if across else ([at, at], [mean.low, mean.high])
        axes.plot(*ends, color=colour, linewidth=1.5, alpha=0.65, zorder=2, solid_capstyle="round")
    x, y = (mean.value, at) if across else (at, mean.value)
    (ring,) = axes.plot(
        [x], [y], "o", color=style.CARD, markeredgecolor=colour, markersize=7.5, markeredgewidth=1.8, zorder=4
    )
    if name:
        tip(ring, f"{name}: {score(mean.value)}")


def metric_words(metric: str) -> str:
    """What a metric is called on an axis."""
    return "held-out pair accuracy" if metric == "accuracy" else metric.replace("_", " ")


def last_part(axis: str) -> str:
    """``train.head.layers`` -> ``layers``."""
    return axis.rpartition(".")[2].replace("_", " ")
