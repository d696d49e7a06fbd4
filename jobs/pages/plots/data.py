"""The figures of the page about prepared data."""

from collections.abc import Mapping, Sequence

from data_pipeline.inspection.histogram import Distribution
from jobs.pages.formats import shortened
from jobs.pages.plots import style, ticks
from jobs.pages.plots.layouts import draw_bar, new_plane
from jobs.pages.plots.svg import Svg, tip, to_svg

__all__ = ["WIDE", "Bar", "histogram_bars", "stacked_bars"]

WIDE = 1120
"""Width of a drawing that has the page for itself, in pixels."""
_ROW_HEIGHT, _TOTAL_WIDTH = 30, 96
_LEAST_VALUES = 5  # an axis of single values is at least so long

Bar = tuple[str, str, int]
"""Colour, what it counts, count."""


def histogram_bars(found: Distribution) -> Svg:
    """Bars of `found`; its limit as a dashed line where it is within reach."""
    bars = found.histogram
    single = bars.edges[1] - bars.edges[0] == 1
    shift = 0.5 if single else 0.0  # a bar for one value stands over its tick
    low, high = bars.edges[0], max(bars.edges[-1], bars.edges[0] + _LEAST_VALUES if single else 0)
    limit = found.limit if found.limit is not None and low < found.limit <= low + 2 * (high - low) else None
    if limit is not None:
        high = max(high, limit + 1)
    with style.plot_style():
        figure, axes = new_plane((low - shift, high - shift), (0, max(bars.counts) * 1.08 or 1), whole=True)
        for left, right, count in zip(bars.edges[:-1], bars.edges[1:], bars.counts, strict=True):
            if count:
                span = f"{left:,}" if single else f"{left:,} to {right - 1:,}"
                text = f"{span} {found.unit}: {count:,} {found.of}"
                draw_bar(axes, left - shift, right - shift, count, colour=style.MARK, text=text)
        if limit is not None:
            axes.axvline(limit, color=style.LIMIT, linewidth=1, dashes=(5, 4))
            axes.annotate(
                f"limit {limit:,}", (limit, 1), (-6, -4), xycoords=axes.get_xaxis_transform(),
                textcoords="offset points", ha="right", va="top", color=style.LIMIT,
            )  # fmt: skip
        axes.set(xlabel=found.unit, ylabel=found.of.split(" ")[0])
        return to_svg(figure, found.name)


def stacked_bars(name: str, rows: Mapping[str, Sequence[Bar]], *, width: int = WIDE, left: int = 210) -> Svg:
    """A row a name, its bars one behind the other, their sum at the end.

    Args:
        width: of the drawing, in pixels: that of the column it stands in.
        left: room for the names, in pixels.
    """
    sums = [sum(count for *_, count in bars) for bars in rows.values()]
    most = max(sums, default=0) or 1
    pixel = most / (width - left - _TOTAL_WIDTH)
    with style.plot_style():
        figure = style.new_figure(width, 14 + _ROW_HEIGHT * len(rows) + 24)
        axes = style.new_axes(figure, left=left, right=_TOTAL_WIDTH, top=14, bottom=24)
        axes.set(xlim=(0, most), ylim=(len(rows) - 0.5, -0.5))
        for row, ((row_name, bars), total) in enumerate(zip(rows.items(), sums, strict=True)):
            start = 0
            for colour, what, count in bars:
                if count:
                    length = max(count - pixel, pixel)
                    [bar] = axes.barh([row], [length], left=[start], height=0.57, color=colour)
                    tip(bar, f"{row_name}, {what}: {count:,}")
                start += count
            axes.annotate(
                f"{total:,}", (total, row), (8, 0), textcoords="offset points", va="center", weight="bold", size=13
            )
        axes.set_yticks(range(len(rows)), [shortened(row_name, 28) for row_name in rows], color=style.INK, size=13)
        for label, row_name in zip(axes.get_yticklabels(), rows, strict=True):
            tip(label, row_name)
        ticks.linear(axes.xaxis, whole=True)
        axes.grid(axis="y", visible=False)
        axes.spines.bottom.set_visible(False)
        return to_svg(figure, name)
