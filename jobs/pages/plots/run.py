"""Pictures of a training and of an evaluation for its MLflow run, as PNG: to look at without the UI's own charts."""

import math
from collections.abc import Mapping, Sequence

from jobs.pages.plots import style, ticks

__all__ = ["CURVES", "bars_png", "curves_png"]

CURVES = (
    "eval/accuracy",
    "eval/log_loss",
    "train/loss",
    "train/accuracy",
    "train/margin",
    "train/grad_norm",
    "train/learning_rate",
    "system/tokens_per_s",
)
"""What `curves_png` shows, in this order."""

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
    with style.plot_style():
        figure = style.new_figure(320 * columns, 216 * rows, constrained=True)
        figure.suptitle(title, weight="bold")
        for place, (name, points) in enumerate(shown.items(), 1):
            axes = figure.add_subplot(rows, columns, place)
            steps, values = zip(*points, strict=True)
            axes.plot(steps, values, color=style.MARK, linewidth=1.3)
            axes.set_title(name, fontsize=12)
            ticks.linear(axes.xaxis, whole=True)
            ticks.linear(axes.yaxis, words=lambda value: f"{value:.4g}")
        return style.to_png(figure, scale=1.5)


def bars_png(title: str, bars: Mapping[str, tuple[float, float, float, float]]) -> bytes:
    """Accuracies with their intervals, and beside each what the longer answer would win.

    Args:
        bars: (accuracy, low end, high end, accuracy of "the longer answer wins") by what was asked.
    """
    with style.plot_style():
        figure = style.new_figure(560, 96 + 34 * len(bars), constrained=True)
        axes = figure.subplots()
        for row, (value, low, high, length_only) in enumerate(bars.values()):
            axes.barh([row], [value], height=0.6, color=style.MARK)
            axes.plot([low, high], [row, row], color=style.INK, linewidth=1.5)
            axes.plot(
                [length_only],
                [row],
                "o",
                color=style.CARD,
                markeredgecolor=style.OTHER,
                markersize=9,
                markeredgewidth=2,
            )
        axes.axvline(0.5, color=style.CHANCE, linewidth=1, dashes=(4, 4))
        axes.set_yticks(range(len(bars)), list(bars), color=style.INK)
        axes.set(xlim=(0, 1), ylim=(len(bars) - 0.5, -0.5), title=title)
        ticks.linear(axes.xaxis, words=ticks.whole_percent)
        axes.grid(axis="y", visible=False)
        axes.set_xlabel("pair accuracy with its interval; the ring: the longer answer wins")
        return style.to_png(figure, scale=1.5)
