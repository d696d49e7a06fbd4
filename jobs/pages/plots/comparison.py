"""The figure of two models compared."""

from jobs.pages.formats import signed
from jobs.pages.plots import style, ticks
from jobs.pages.plots.layouts import new_rows
from jobs.pages.plots.svg import Svg, tip, to_svg
from rm_core.evaluation.paired import PairedComparison, PairedGroup

__all__ = ["difference_by_group"]

_WIDTH = 1080


def difference_by_group(found: PairedComparison) -> Svg:
    """A row a group: the difference as a dot, filled where it is clear, its interval as a line, 0 dashed."""
    groups: dict[str, PairedGroup] = {"all": found, **found.by_group}
    ends = [end for one in groups.values() for end in (one.interval.low, one.interval.high)]
    low, high = min(0.0, *ends), max(0.0, *ends)
    if low == high:
        low, high = -0.01, 0.01
    values = [
        f"{signed(one.difference)}, {one.num_comparisons:,} Comparisons, {one.num_groups:,} groups"
        for one in groups.values()
    ]
    with style.plot_style():
        figure, axes = new_rows(list(groups), values, width=_WIDTH, left=180, right=330)
        axes.set_xlim(low, high)
        ticks.linear(axes.xaxis, words=lambda value: f"{value:+.3g}" if value else "0")
        axes.axvline(0, color=style.CHANCE, linewidth=1, dashes=(4, 4), zorder=1)
        for row, (name, one) in enumerate(groups.items()):
            (line,) = axes.plot(
                [one.interval.low, one.interval.high], [row, row], color=style.MARK, linewidth=2.5,
                solid_capstyle="round", clip_on=False,
            )  # fmt: skip
            fill = style.MARK if found.is_clear(one) else style.CARD
            (dot,) = axes.plot(
                [one.difference], [row], "o", color=fill, markeredgecolor=style.MARK, markersize=10,
                markeredgewidth=2, clip_on=False,
            )  # fmt: skip
            for artist in (line, dot):
                tip(artist, f"{name}: {_with_interval(one)}")
        return to_svg(figure, "Difference in pair accuracy by group")


def _with_interval(one: PairedGroup) -> str:
    return f"{signed(one.difference)} ({signed(one.interval.low)} to {signed(one.interval.high)})"
