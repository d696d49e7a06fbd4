"""The parts of hand-written SVG figures: they take their colours from the page, so light and dark both fit.

Marks carry a ``<title>`` that a browser shows on hover and a screen reader reads. Classes (``mark``, ``other``,
``grid``, ...) are styled in `shell.py`. Text comes out at one size where a plane stands three in a line.
"""

import math
from collections.abc import Sequence
from html import escape

__all__ = ["BOTTOM", "HEIGHT", "LEFT", "RIGHT", "TOP", "WIDTH", "Axes", "number", "percent", "svg", "ticks"]

WIDTH, HEIGHT = 410, 300
"""A plane with its labels, in pixels of the viewBox."""
LEFT, RIGHT, TOP, BOTTOM = 62, 24, 14, 46
"""What the labels take of it."""


def percent(share: float) -> str:
    """0.91666 -> "91.7 %"."""
    return f"{100 * share:.1f} %"


def number(value: float) -> str:
    """Three digits that matter, without an exponent where it can be read: 0.12345 -> "0.123", 1200.0 -> "1,200"."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


class Axes:
    """A plane with ticks: data coordinates to pixels of the figure."""

    def __init__(self, xs: tuple[float, float], ys: tuple[float, float], as_percent: bool = False) -> None:
        self._xs, self._ys, self._as_percent = _widened(xs), _widened(ys), as_percent

    def x(self, value: float) -> float:
        low, high = self._xs
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._ys
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def points(self, corners: Sequence[tuple[float, float]]) -> str:
        return " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in corners)

    def dot(self, x: float, y: float, radius: float, told: str) -> str:
        return (
            f'<circle class="mark" cx="{self.x(x):.1f}" cy="{self.y(y):.1f}" r="{radius:.1f}">'
            f"<title>{escape(told)}</title></circle>"
        )

    def chart(self, title: str, x_label: str, y_label: str, marks: str, *, whole: bool = False) -> str:
        """The whole figure: grid and ticks under `marks`, labels beside; `whole`: ticks at whole numbers only."""
        text = (lambda value: f"{100 * value:.0f} %") if self._as_percent else number
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        grid = "".join(
            f'<line class="grid" x1="{LEFT}" x2="{right}" y1="{self.y(tick):.1f}" y2="{self.y(tick):.1f}"/>'
            f'<text class="tick" x="{LEFT - 6}" y="{self.y(tick) + 4:.1f}" text-anchor="end">{text(tick)}</text>'
            for tick in _shown(*self._ys, whole=whole)
        )
        grid += "".join(
            f'<text class="tick" x="{self.x(tick):.1f}" y="{bottom + 19}" text-anchor="middle">{text(tick)}</text>'
            for tick in _shown(*self._xs, whole=whole)
        )
        labels = (
            f'<text class="axis" x="{(LEFT + right) / 2}" y="{HEIGHT - 7}" text-anchor="middle">{x_label}</text>'
            f'<text class="axis" transform="translate(12 {(TOP + bottom) / 2}) rotate(-90)" text-anchor="middle">'
            f"{y_label}</text>"
        )
        axis = f'<line class="base" x1="{LEFT}" x2="{right}" y1="{bottom}" y2="{bottom}"/>'
        return svg(title, WIDTH, HEIGHT, grid + marks + axis + labels)


def svg(title: str, width: int, height: float, content: str) -> str:
    """One drawing that scales with its column; `width` and `height` are those of its viewBox, `title` is text."""
    name = escape(title, quote=True)
    return f'<svg viewBox="0 0 {width} {height:.0f}" role="img" aria-label="{name}">{content}</svg>'


def _shown(low: float, high: float, *, whole: bool) -> list[float]:
    return [tick for tick in ticks(low, high) if not whole or tick == int(tick)]


def _widened(ends: tuple[float, float]) -> tuple[float, float]:
    """`ends`, or a small range around them where they are one point."""
    low, high = ends
    margin = max(abs(low) * 0.1, 0.5)
    return (low, high) if high > low else (low - margin, high + margin)


def ticks(low: float, high: float) -> list[float]:
    """About five round numbers from `low` to `high`: (0, 1) -> 0, 0.2, 0.4, 0.6, 0.8, 1."""
    raw = (high - low) / 5
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]
