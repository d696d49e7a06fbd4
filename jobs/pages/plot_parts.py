"""The look of the plots: colours as on the pages, ticks that can be read, and the same bytes every time."""

import io
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rm_core.scaling.seeds import SeedMean

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "COLOURS",
    "INK",
    "SOFT",
    "axis_ticks",
    "bounded",
    "house_style",
    "last_part",
    "logarithmic",
    "metric_words",
    "new_figure",
    "plain_ticks",
    "positions",
    "shortened",
    "to_png",
    "whisker",
]

COLOURS = ("#2a6fc9", "#d9662b", "#3b8f5a", "#8a56b8", "#b8860b", "#c2185b", "#00838f", "#6d6c66")
INK, SOFT, LINE = "#1c1c1a", "#5e5d58", "#e2e1db"
_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": "#8f8e87",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
}
_DPI = 160
LONG = 34  # characters of a label


_ERRORS = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Ticks of an accuracy on the scale of its error."""


@contextmanager
def house_style() -> Iterator[None]:
    """Matplotlib as the plots want it, whatever the user's own settings are."""
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def whisker(axes: "Axes", mean: SeedMean, at: float, colour: str, *, across: bool = False) -> None:
    """A ring at the mean; its interval where seeds give one."""
    if mean.low is not None and mean.high is not None:
        ends = ([mean.low, mean.high], [at, at]) if across else ([at, at], [mean.low, mean.high])
        axes.plot(*ends, color=colour, linewidth=1.5, alpha=0.65, zorder=2, solid_capstyle="round")
    x, y = (mean.value, at) if across else (at, mean.value)
    axes.scatter([x], [y], s=46, facecolors="white", edgecolors=colour, linewidths=1.8, zorder=4)


def bounded(axes: "Axes", values: Sequence[float], *, across: bool = False) -> None:
    """Limits around the runs; a wide interval is cut off, so that it does not flatten everything."""
    low, high = min(values), max(values)
    air = max(0.3 * (high - low), 0.004 * max(abs(low), abs(high), 1e-9))
    (axes.set_xlim if across else axes.set_ylim)(low - air, high + air)


def logarithmic(axes: "Axes", values: Sequence[float], *, as_accuracy: bool = False) -> None:
    """A logarithmic y axis with plain numbers; of an error, with its accuracies, better ones above."""
    positive = [value for value in values if value > 0]
    if len(positive) < len(values) or not positive:
        return
    axes.set_yscale("log")
    low, high = min(positive), max(positive)
    air = max((high / low) ** 0.35, 1.02)
    axes.set_ylim(low / air, high * air)
    plain_ticks(axes, [low / air, high * air], as_accuracy=as_accuracy)
    if as_accuracy:
        axes.invert_yaxis()


def plain_ticks(axes: "Axes", values: Sequence[float], *, across: bool = False, as_accuracy: bool = False) -> None:
    """About five round numbers on a logarithmic axis, whatever part of a decade it spans."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

    low, high = min(values), max(values)
    one = axes.xaxis if across else axes.yaxis
    if high / low > 30 and not as_accuracy:
        return
    ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if tick > 0]
    round_ones = [error for error in _ERRORS if low <= error <= high]
    if as_accuracy and len(round_ones) >= 4:
        ticks = round_ones
    one.set_major_locator(FixedLocator(ticks))
    one.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - value:.4g}" if as_accuracy else f"{value:.4g}"))
    one.set_minor_locator(NullLocator())
    one.set_minor_formatter(NullFormatter())


def positions(labels: Sequence[str]) -> dict[str, float]:
    """Where each label stands: its number, or its place in the row."""
    try:
        numbers = {label: float(label) for label in labels}
    except ValueError:
        return {label: float(index) for index, label in enumerate(labels)}
    return (
        numbers
        if len(labels) > 2 and all(map(math.isfinite, numbers.values()))
        else {label: float(index) for index, label in enumerate(labels)}
    )


def axis_ticks(axes: "Axes", labels: Sequence[str], places: dict[str, float]) -> None:
    """Ticks at the labels; logarithmic where their numbers span decades, with room for a 0 beside them."""
    values = sorted(places.values())
    if values == list(range(len(values))) and not all(_is_number(label) for label in labels):
        axes.set_xticks(values, [shortened(label, 16) for label in labels], color=INK)
        axes.set_xlim(-0.5, len(values) - 0.5)
        return
    positive = [value for value in values if value > 0]
    if len(positive) > 1 and positive[-1] / positive[0] >= 20:
        if len(positive) < len(values):  # a grid of rates often has 0 beside powers of ten
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.6)
        else:
            axes.set_xscale("log")
    if len(values) <= 10:
        from matplotlib.ticker import NullLocator

        named = {places[label]: label for label in labels}
        axes.set_xticks(values, [shortened(named[value], 12) for value in values], color=INK)
        axes.xaxis.set_minor_locator(NullLocator())
    axes.margins(x=0.08)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def metric_words(metric: str) -> str:
    """What a metric is called on an axis."""
    return "held-out pair accuracy" if metric == "accuracy" else metric.replace("_", " ")


def last_part(axis: str) -> str:
    """``train.head.layers`` -> ``layers``."""
    return axis.rpartition(".")[2].replace("_", " ")


def shortened(text: str, limit: int = LONG) -> str:
    """At most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def new_figure(width: float, height: float) -> "Figure":
    """A figure of so many inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")


def to_png(figure: "Figure") -> bytes:
    """The picture, without anything that changes from run to run."""
    sink = io.BytesIO()
    figure.savefig(sink, format="png", metadata={"Software": None})
    return sink.getvalue()
