"""Pictures of a training and of an evaluation for its MLflow run, as PNG: to look at without the UI's own charts."""

import io
import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

__all__ = ["CURVES", "bars_png", "curves_png"]

CURVES = (
    "train/loss",
    "train/accuracy",
    "train/margin",
    "train/grad_norm",
    "train/learning_rate",
    "system/tokens_per_s",
)
"""What `curves_png` shows, in this order."""
_COLOUR, _SECOND = "#1f5fa8", "#c0c7d0"

Point = tuple[int, float]
"""Step, value."""


def curves_png(title: str, curves: Mapping[str, Sequence[Point]]) -> bytes:
    """One small chart a metric over the steps.

    Args:
        curves: points by the metric's name; one without points is left out.
    """
    shown = {name: points for name, points in curves.items() if points}
    columns = min(3, max(1, len(shown)))
    rows = max(1, math.ceil(len(shown) / columns))
    figure = Figure(figsize=(4 * columns, 2.7 * rows), layout="constrained")
    figure.suptitle(title)
    for place, (name, points) in enumerate(shown.items(), 1):
        axes = figure.add_subplot(rows, columns, place)
        steps, values = zip(*points, strict=True)
        axes.plot(steps, values, color=_COLOUR, linewidth=1.2)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
        axes.grid(visible=True, color="#e8e8e8")
    return _png(figure)


def bars_png(title: str, bars: Mapping[str, tuple[float, float, float, float]]) -> bytes:
    """Accuracies with their intervals, and beside each what the longer answer would win.

    Args:
        bars: (accuracy, low end, high end, accuracy of "the longer answer wins") by what was asked.
    """
    figure = Figure(figsize=(7, 1.2 + 0.42 * len(bars)), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(bars))
    values = [value for value, _, _, _ in bars.values()]
    ends = [
        [max(0.0, v - low) for v, low, _, _ in bars.values()],
        [max(0.0, high - v) for v, _, high, _ in bars.values()],
    ]
    axes.barh(places, values, height=0.6, xerr=ends, color=_COLOUR, error_kw={"ecolor": "#555555", "capsize": 3})
    axes.scatter([length for _, _, _, length in bars.values()], places, color=_SECOND, edgecolors="#333333", zorder=3)
    axes.axvline(0.5, color="#999999", linewidth=0.8, linestyle="--")
    axes.set_yticks(list(places), list(bars), fontsize=8)
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("pair accuracy with its interval; the dot: the longer answer wins", fontsize=8)
    axes.set_title(title, fontsize=10)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()
