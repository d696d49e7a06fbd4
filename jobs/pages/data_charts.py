"""The figures of the page about prepared data."""

from collections.abc import Sequence
from html import escape

from data_pipeline.inspection.histogram import Distribution
from jobs.pages.svg import TOP, Axes, number, svg, ticks

__all__ = ["WIDE", "histogram_bars", "stacked_bars"]

WIDE = 1120
"""Width of a drawing that has the page for itself, in pixels of the viewBox."""
_VALUE = 96  # room beside the bars for totals
_ROW, _BAR = 30, 17
_LABEL_CHARS = 28
_LEAST_VALUES = 5  # an axis of single values is at least so long


def histogram_bars(found: Distribution) -> str:
    """Bars of `found`; its limit as a dashed line where it is within reach, what is above as a note at the right."""
    bars = found.histogram
    single = bars.edges[1] - bars.edges[0] == 1
    shift = 0.5 if single else 0.0  # a bar for one value stands over its tick
    low, high = bars.edges[0], max(bars.edges[-1], bars.edges[0] + _LEAST_VALUES if single else 0)
    near = found.limit is not None and low < found.limit <= low + 2 * (high - low)
    if near and found.limit is not None:
        high = max(high, found.limit + 1)
    axes = Axes((low - shift, high - shift), (0, max(bars.counts) * 1.08 or 1))
    marks = "".join(
        _bar(axes, left - shift, right - shift, count, _told(left, right, count, found, single=single))
        for left, right, count in zip(bars.edges[:-1], bars.edges[1:], bars.counts, strict=True)
        if count
    )
    if near and found.limit is not None:
        x = axes.x(found.limit)
        marks += f'<line class="limit" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{axes.y(0):.1f}"/>'
        marks += f'<text class="limit" x="{x - 6:.1f}" y="{TOP + 11}" text-anchor="end">limit {found.limit:,}</text>'
    return axes.chart(found.name, found.unit, found.of.split(" ")[0], marks, whole=True)


def stacked_bars(
    title: str, rows: Sequence[tuple[str, Sequence[tuple[str, str, int]]]], *, width: int = WIDE, label: int = 210
) -> str:
    """A row a name, its parts one behind the other: ``(name, [(style, what, count), ...])``; zero parts take no room.

    Args:
        width: of the drawing, in pixels of its viewBox: that of the column it stands in.
        label: room for the names, in pixels.
    """
    most = max((sum(count for *_, count in parts) for _, parts in rows), default=0) or 1
    scale = (width - label - _VALUE) / most
    bottom = TOP + _ROW * len(rows)
    drawn = [
        f'<line class="grid" x1="{label + tick * scale:.1f}" x2="{label + tick * scale:.1f}" y1="{TOP}" '
        f'y2="{bottom}"/><text class="tick" x="{label + tick * scale:.1f}" y="{bottom + 16}" '
        f'text-anchor="middle">{number(tick)}</text>'
        for tick in ticks(0, most)
        if tick == int(tick)
    ]
    for place, (name, parts) in enumerate(rows):
        y = TOP + _ROW * (place + 0.5)
        short = name if len(name) <= _LABEL_CHARS else name[: _LABEL_CHARS - 1] + "…"
        drawn.append(
            f'<text class="label" x="{label - 12}" y="{y + 4:.1f}" text-anchor="end">{escape(short)}'
            f"<title>{escape(name)}</title></text>"
        )
        x = float(label)
        for style, what, count in parts:
            length = count * scale
            if count:
                width_shown = max(length - 0.8, 0.8)
                drawn.append(
                    f'<rect class="{style} bar" x="{x:.1f}" y="{y - _BAR / 2:.1f}" width="{width_shown:.1f}" '
                    f'height="{_BAR}"><title>{escape(name)}, {escape(what)}: {count:,}</title></rect>'
                )
            x += length
        drawn.append(
            f'<text class="value" x="{x + 8:.1f}" y="{y + 4:.1f}">{sum(count for *_, count in parts):,}</text>'
        )
    return svg(title, width, bottom + 24, "".join(drawn))


def _bar(axes: Axes, left: float, right: float, count: int, told: str) -> str:
    x, y = axes.x(left), axes.y(count)
    width = max(axes.x(right) - x - 1, 0.5)
    return (
        f'<rect class="mark bar" x="{x + 0.5:.1f}" y="{y:.1f}" width="{width:.1f}" height="{axes.y(0) - y:.1f}">'
        f"<title>{escape(told)}</title></rect>"
    )


def _told(left: int, right: int, count: int, found: Distribution, *, single: bool) -> str:
    span = f"{left:,}" if single else f"{left:,} to {right - 1:,}"
    return f"{span} {found.unit}: {count:,} {found.of}"
