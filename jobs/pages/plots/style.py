"""The look of every plot: colours, fonts and sizes, and the same bytes every time.

Sizes are in pixels of a page, which is drawn at 72 dots an inch: a text of 12 points is 12 pixels high.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "CARD",
    "CHANCE",
    "COLOURS",
    "HELD_OUT",
    "INK",
    "LIMIT",
    "LINE",
    "MARK",
    "OTHER",
    "SOFT",
    "new_axes",
    "new_figure",
    "no_glyph_warnings",
    "plot_style",
    "to_png",
]

MARK, OTHER, HELD_OUT, LIMIT = "#2a6fc9", "#d9662b", "#9bbbe6", "#b3261e"
INK, SOFT, LINE, CHANCE, CARD = "#1c1c1a", "#5e5d58", "#e2e1db", "#8f8e87", "#ffffff"
COLOURS = (MARK, OTHER, "#3b8f5a", "#8a56b8", "#b8860b", "#c2185b", "#00838f", "#6d6c66")
"""Of several lines, in this order."""

PIXELS_AN_INCH = 72
_STYLE: Any = {
    "figure.dpi": PIXELS_AN_INCH,
    "font.family": "DejaVu Sans",
    "font.size": 12,
    "text.color": INK,
    "text.parse_math": False,  # labels come from data: a dollar sign is a dollar sign
    "axes.labelcolor": SOFT,
    "axes.labelsize": 12,
    "axes.edgecolor": CHANCE,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.titlesize": 13,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": LINE,
    "grid.linewidth": 1,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.minor.size": 0,
    "xtick.major.pad": 8,
    "ytick.major.pad": 7,
    "axes.labelpad": 5,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "svg.fonttype": "none",  # texts stay texts: a reader can search them, and the page chooses the font
}


@contextmanager
def plot_style() -> Iterator[None]:
    """Matplotlib as the plots want it, whatever the user's own settings are."""
    from matplotlib import style

    with style.context(["default", _STYLE]):
        yield


def new_figure(width: float, height: float, *, constrained: bool = False) -> "Figure":
    """An empty figure.

    Args:
        width: in pixels.
        height: in pixels.
        constrained: whether Matplotlib finds room for labels itself, instead of `new_axes`.
    """
    from matplotlib.figure import Figure

    size = (width / PIXELS_AN_INCH, height / PIXELS_AN_INCH)
    return Figure(figsize=size, layout="constrained" if constrained else None, facecolor=CARD)


def new_axes(figure: "Figure", *, left: float, right: float, top: float, bottom: float) -> "Axes":
    """Axes with so much room around them, in pixels; an equal room puts the axes of several figures in one line."""
    width, height = figure.get_size_inches() * PIXELS_AN_INCH
    return figure.add_axes((left / width, bottom / height, 1 - (left + right) / width, 1 - (top + bottom) / height))


def to_png(figure: "Figure", *, scale: float = 2) -> bytes:
    """The picture with `scale` dots a pixel, and nothing in it that changes from run to run."""
    sink = io.BytesIO()
    with plot_style(), no_glyph_warnings():
        figure.savefig(sink, format="png", dpi=scale * PIXELS_AN_INCH, metadata={"Software": None})
    return sink.getvalue()


@contextmanager
def no_glyph_warnings() -> Iterator[None]:
    """Labels come from data, and no font has every script: PNG shows a box there, SVG the reader's own font."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        yield
