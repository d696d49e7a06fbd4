"""What the pictures are drawn with: one sheet, its colours, and areas of marked cells as paths."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from xml.sax.saxutils import escape

import numpy as np
import numpy.typing as npt

__all__ = ["Canvas", "Matrix", "area", "runs"]

WIDTH = 900
INK, NOTE, PAPER, FRAME = "#1f2328", "#59636e", "#ffffff", "#d0d7de"
PROMPT, PICTURE, FILLER = "#4a86e8", "#e3b341", "#d8dee4"
RESPONSES = ("#2da44e", "#c4600a", "#8250df", "#0b8a8f")
LATER, OTHER_COMPARISON, OTHER_RESPONSE, WASTED = "#f3f5f7", "#d8dee4", "#f9c9c4", "#f9c9c4"
Matrix = npt.NDArray[np.bool_]


class Canvas:
    """An SVG in the making: a white sheet, so that it reads the same on a dark page."""

    def __init__(self, height: int, title: str) -> None:
        self._height, self._title = height, title
        self._parts: list[str] = []

    def box(self, x: float, y: float, width: float, height: float, fill: str, *, stroke: str = "none") -> None:
        """A rectangle."""
        size = f'x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}"'
        self._parts.append(f'<rect {size} fill="{fill}" stroke="{stroke}"/>')

    def text(
        self, x: float, y: float, words: str, *, size: int = 14, fill: str = INK, at: str = "start", bold: bool = False
    ) -> None:
        """One line of text; `at` is where x is in it: start, middle or end."""
        weight = ' font-weight="600"' if bold else ""
        style = f'font-size="{size}" fill="{fill}" text-anchor="{at}"{weight}'
        self._parts.append(f'<text x="{x:g}" y="{y:g}" {style}>{escape(words)}</text>')

    def path(self, steps: str, *, fill: str = "none", stroke: str = "none", width: float = 1) -> None:
        """A path of SVG's own steps."""
        self._parts.append(f'<path d="{steps}" fill="{fill}" stroke="{stroke}" stroke-width="{width:g}"/>')

    def legend(self, x: float, y: float, entries: Iterable[tuple[str, str]]) -> None:
        """Colours and what they mean, one a line."""
        for place, (fill, words) in enumerate(entries):
            self.box(x, y + 20 * place, 13, 13, fill, stroke=FRAME)
            self.text(x + 21, y + 20 * place + 11, words, size=13)

    def svg(self) -> str:
        """The whole file."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" role="img"'
        family = "font-family=\"-apple-system, BlinkMacSystemFont, 'Segoe UI', Helvetica, Arial, sans-serif\""
        sheet = f'<rect width="{WIDTH}" height="{self._height}" rx="8" fill="{PAPER}"/>'
        return "\n".join(
            [f"{head} {family}>", f"<title>{escape(self._title)}</title>", sheet, *self._parts, "</svg>\n"]
        )


def runs(numbers: Sequence[int]) -> list[list[int]]:
    """Consecutive numbers together."""
    return [[n for _, n in group] for _, group in groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0])]


def area(cells: Matrix, left: float, top: float, cell: float) -> str:
    """The marked cells as one path, runs of a row and equal neighbouring rows together."""
    steps, start = [], 0
    for stop in range(1, len(cells) + 1):
        if stop < len(cells) and np.array_equal(cells[stop], cells[start]):
            continue
        for run in runs(np.flatnonzero(cells[start]).tolist()):
            x, y = left + cell * run[0], top + cell * start
            width, height = cell * len(run), cell * (stop - start)
            steps.append(f"M{x:g} {y:g}h{width:g}v{height:g}h-{width:g}z")
        start = stop
    return "".join(steps)
