"""The plot of a sweep over two axes at once: a coloured cell for each pair of their labels."""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jobs.pages.formats import shortened
from jobs.pages.plots import style
from jobs.pages.plots.layouts import COLUMN_WIDTH, last_part
from jobs.pages.plots.svg import tip
from rm_core.scaling.analysis import Analysis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["grid_figure"]

_BLUES = ("#eef3fb", "#8fb4e4", "#2a6fc8", "#174a8c")
_ON_LIGHT, _ON_DARK = "#1c1c1b", "#fffffe"  # no colours of the page: the cells are the same in light and dark


def grid_figure(analysis: Analysis, rows: str, columns: str, labels: Mapping[str, Sequence[str]]) -> "Figure":
    """The mean metric over two axes of a study; what did not run stays empty. Inside `plot_style`."""
    from matplotlib.colors import LinearSegmentedColormap, to_hex
    from matplotlib.patches import Rectangle

    cells = _means(analysis, rows, columns, labels)
    low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
    colours = LinearSegmentedColormap.from_list("blues", _BLUES)
    figure = style.new_figure(max(COLUMN_WIDTH, 187 + 69 * cells.shape[1]), 94 + 38 * cells.shape[0], constrained=True)
    axes = figure.subplots()
    for (y, x), value in np.ndenumerate(cells):
        empty = math.isnan(value)
        good = 0.5 if high == low else (value - low) / (high - low)
        good = good if analysis.higher_is_better else 1 - good
        colour = style.LINE if empty else to_hex(colours(good))
        cell = axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=colour, linewidth=0))
        tip(cell, f"{labels[rows][y]}, {labels[columns][x]}: {'not run' if empty else f'{value:.4f}'}")
        if not empty:
            ink = _ON_DARK if good > 0.6 else _ON_LIGHT
            axes.text(x, y, f"{value:.3f}", ha="center", va="center", color=ink)
    axes.set(xlim=(-0.5, cells.shape[1] - 0.5), ylim=(cells.shape[0] - 0.5, -0.5))
    axes.set_xticks(range(cells.shape[1]), [shortened(one, 14) for one in labels[columns]], color=style.INK)
    axes.set_yticks(range(cells.shape[0]), [shortened(one, 14) for one in labels[rows]], color=style.INK)
    axes.set_xlabel(last_part(columns))
    axes.set_ylabel(last_part(rows))
    axes.grid(visible=False)
    axes.spines.bottom.set_visible(False)
    return figure


def _means(
    analysis: Analysis, rows: str, columns: str, labels: Mapping[str, Sequence[str]]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """[rows, columns]; NaN where nothing ran."""
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
    return cells
