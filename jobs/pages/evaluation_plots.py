"""The figures of a report as hand-written SVG: they take their colours from the page, so light and dark both fit.

Every function returns one ``<svg>`` that scales with the width of its column. Marks carry a ``<title>`` that a
browser shows on hover and a screen reader reads. Classes (``mark``, ``other``, ``grid``, ...) are styled in
`jobs.pages.shell`.
"""

import math
from collections.abc import Sequence
from html import escape

from jobs.pages.svg import TOP, Axes, number, percent, svg
from rm_core.evaluation.curves import CalibrationBin, Histogram, LengthBin
from rm_core.evaluation.results import BlankImages, Group, Share

__all__ = [
    "accuracy_by_group",
    "calibration_curve",
    "margin_bars",
    "real_and_blank",
    "reward_band",
]

# Rows stand two in a line and planes three, so that text comes out at one size (units: pixels of the viewBox).
_ROWS_WIDTH = 560
_ROW = 34
_LABEL_CHARS = 22


def accuracy_by_group(groups: Sequence[tuple[str, Group]]) -> str:
    """A row a group: accuracy with its interval as a dot and a line, the length-only baseline as a ring."""
    rows = [
        _row(
            index,
            name,
            _whisker(group.accuracy, index, "mark", f"{name}: accuracy {_with_interval(group.accuracy)}")
            + f'<circle class="ring" cx="{_share_x(group.length_only.value):.1f}" cy="{_row_y(index):.1f}" r="5">'
            + f"<title>{escape(name)}: length only {percent(group.length_only.value)}</title></circle>",
            percent(group.accuracy.value),
        )
        for index, (name, group) in enumerate(groups)
    ]
    return _share_chart("Pair accuracy by group, with intervals", rows)


def real_and_blank(blank: BlankImages) -> str:
    """Two bars: accuracy with the real images, and with mid-grey ones in their place."""
    rows = []
    for index, (name, share, style) in enumerate(
        [("real images", blank.real, "mark"), ("blank images", blank.blank, "other")]
    ):
        x, y = _share_x(0), _row_y(index)
        bar = (
            f'<rect class="{style} bar" x="{x:.1f}" y="{y - 9:.1f}" width="{_share_x(share.value) - x:.1f}" '
            f'height="18" rx="2"><title>{name}: {_with_interval(share)}</title></rect>'
        )
        low, high = _share_x(share.interval.low), _share_x(share.interval.high)
        bar += f'<line class="error" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        rows.append(_row(index, name, bar, percent(share.value)))
    return _share_chart("Accuracy with real and with blank images", rows)


def margin_bars(histogram: Histogram) -> str:
    """Pairs by margin: wrong ones left of zero, right ones right of it."""
    axes = Axes((histogram.edges[0], histogram.edges[-1]), (0, max(histogram.counts) * 1.05))
    bars = []
    for low, high, count in zip(histogram.edges[:-1], histogram.edges[1:], histogram.counts, strict=True):
        left, right, top = axes.x(low), axes.x(high), axes.y(count)
        style = "mark" if low >= 0 else "other"
        told = f"margin {number(low)} to {number(high)}: {count:,} pairs"
        bars.append(
            f'<rect class="{style} bar" x="{left + 0.5:.1f}" y="{top:.1f}" width="{max(right - left - 1, 0.5):.1f}" '
            f'height="{axes.y(0) - top:.1f}"><title>{told}</title></rect>'
        )
    zero = axes.x(0)
    bars.append(f'<line class="chance" x1="{zero:.1f}" x2="{zero:.1f}" y1="{TOP}" y2="{axes.y(0):.1f}"/>')
    return axes.chart("Margins of the pairs", "margin (better minus worse reward)", "pairs", "".join(bars))


def reward_band(bins: Sequence[LengthBin]) -> str:
    """The median reward, and the half of the rewards around it, against response length."""
    lengths = [one.mean_length for one in bins]
    low, high = min(one.low for one in bins), max(one.high for one in bins)
    air = 0.06 * (high - low)
    axes = Axes((min(lengths), max(lengths)), (low - air, high + air))
    corners = [(one.mean_length, one.high) for one in bins] + [(one.mean_length, one.low) for one in reversed(bins)]
    marks = f'<polygon class="band" points="{axes.points(corners)}"/>'
    marks += f'<polyline class="line" points="{axes.points([(one.mean_length, one.median) for one in bins])}"/>'
    for one in bins:
        told = (
            f"about {number(one.mean_length)} tokens: median {number(one.median)}, quartiles {number(one.low)} "
            f"and {number(one.high)}, {one.num_responses:,} responses"
        )
        marks += axes.dot(one.mean_length, one.median, 4, told)
    return axes.chart("Reward against response length", "response length (tokens)", "reward", marks)


def calibration_curve(bins: Sequence[CalibrationBin]) -> str:
    """Share of right pairs against the probability that the margins promise; a larger dot holds more pairs."""
    axes = Axes((0.5, 1.0), (min([0.5, *(one.observed for one in bins)]), 1.0), as_percent=True)
    marks = f'<polyline class="chance" points="{axes.points([(0.5, 0.5), (1.0, 1.0)])}"/>'
    marks += f'<polyline class="line" points="{axes.points([(one.predicted, one.observed) for one in bins])}"/>'
    most = max(one.num_pairs for one in bins)
    for one in bins:
        told = f"predicted {percent(one.predicted)}, observed {percent(one.observed)}, {one.num_pairs:,} pairs"
        marks += axes.dot(one.predicted, one.observed, 3 + 6 * math.sqrt(one.num_pairs / most), told)
    return axes.chart("Calibration", "predicted: sigmoid of |margin|", "observed accuracy", marks)


def _share_chart(title: str, rows: Sequence[str]) -> str:
    """Rows over a scale from 0 to 100 %, with chance marked."""
    bottom = TOP + _ROW * len(rows)
    grid = ""
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, style = _share_x(tick), "chance" if tick == 0.5 else "grid"
        grid += f'<line class="{style}" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{bottom}"/>'
        grid += f'<text class="tick" x="{x:.1f}" y="{bottom + 17}" text-anchor="middle">{100 * tick:.0f} %</text>'
    return svg(title, _ROWS_WIDTH, bottom + 26, grid + "".join(rows))


def _share_x(share: float) -> float:
    return 170 + share * (_ROWS_WIDTH - 170 - 72)


def _row_y(index: int) -> float:
    return TOP + _ROW * (index + 0.5)


def _row(index: int, name: str, marks: str, value: str) -> str:
    short = name if len(name) <= _LABEL_CHARS else name[: _LABEL_CHARS - 1] + "…"
    y = _row_y(index) + 4
    return (
        f'<text class="label" x="158" y="{y:.1f}" text-anchor="end">{escape(short)}<title>{escape(name)}</title></text>'
        f'{marks}<text class="value" x="{_ROWS_WIDTH - 4}" y="{y:.1f}" text-anchor="end">{value}</text>'
    )


def _whisker(share: Share, index: int, style: str, told: str) -> str:
    y = _row_y(index)
    low, x, high = (_share_x(value) for value in (share.interval.low, share.value, share.interval.high))
    return (
        f'<line class="{style} whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="5.5"><title>{escape(told)}</title></circle>'
    )


def _with_interval(share: Share) -> str:
    return f"{percent(share.value)} ({percent(share.interval.low)} to {percent(share.interval.high)})"
