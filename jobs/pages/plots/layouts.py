"""The two layouts of figures on pages (a plane with two scales, rows of names over one scale), and what figures share.

Rows stand two in a line and planes three, so that text comes out at one size.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from jobs.pages.formats import number, score, shortened
from jobs.pages.plots import style, ticks
from jobs.pages.plots.svg import tip
from rm_core.scaling.seeds import SeedMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["COLUMN_WIDTH", "draw_bar", "draw_mean", "draw_runs", "last_part", "metric_words", "new_plane", "new_rows"]


_ROWS_WIDTH, _ROW_HEIGHT = 560, 34
_PLANE_WIDTH, _PLANE_HEIGHT = 410, 300
_PLANE_INNER = _PLANE_WIDTH - 62 - 24


def new_plane(
    xs: tuple[float, float], ys: tuple[float, float], *, as_percent: bool = False, whole: bool = False
) -> tuple["Figure", "Axes"]:
    """A figure with two scales, with horizontal lines only.

    Args:
        xs, ys: the ends of the scales.
        as_percent: both are shares of 1.
        whole: ticks at whole numbers only.
    """
    figure = style.new_figure(_PLANE_WIDTH, _PLANE_HEIGHT)
    axes = style.new_axes(figure, left=62, right=24, top=14, bottom=46)
    axes.set(xlim=ticks.widened(*xs), ylim=ticks.widened(*ys))
    for axis in (axes.xaxis, axes.yaxis):
        ticks.linear(axis, words=ticks.whole_percent if as_percent else number, whole=whole)
    axes.grid(axis="x", visible=False)
    axes.yaxis.set_label_coords(-42 / _PLANE_INNER, 0.5)
    return figure, axes


def draw_bar(axes: "Axes", left: float, right: float, count: float, *, colour: str, text: str) -> None:
    """A bar of a histogram on a plane, a pixel narrower than its bin; `text` is shown to who points at it."""
    low, high = axes.get_xlim()
    pixel = (high - low) / _PLANE_INNER
    [bar] = axes.bar(
        [left + pixel / 2], [count], width=max(right - left - pixel, pixel / 2), align="edge", color=colour
    )
    tip(bar, text)


def new_rows(
    names: Sequence[str], values: Sequence[str], *, width: float = _ROWS_WIDTH, left: float = 170, right: float = 72
) -> tuple["Figure", "Axes"]:
    """A figure with a row a name over one scale: names at the left, `values` at the right; row i is at y = i."""
    figure = style.new_figure(width, 14 + _ROW_HEIGHT * len(names) + 26)
    axes = style.new_axes(figure, left=left, right=right, top=14, bottom=26)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_yticks(range(len(names)), [shortened(name, 22) for name in names], color=style.INK)
    for label, name in zip(axes.get_yticklabels(), names, strict=True):
        label.set_fontsize(13)
        tip(label, name)
    for row, text in enumerate(values):
        place = (1 + (right - 4) / (width - left - right), row)
        axes.text(*place, text, transform=axes.get_yaxis_transform(), ha="right", va="center", weight="bold", size=13)
    axes.grid(axis="y", visible=False)
    axes.spines.bottom.set_visible(False)
    return figure, axes


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
