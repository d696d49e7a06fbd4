"""Scales that can be read: round numbers, few of them, written as people write them."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from jobs.pages.formats import number, shortened
from jobs.pages.plots.style import INK

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

__all__ = ["bounded", "label_ticks", "linear", "log_accuracy", "log_scale", "positions", "whole_percent", "widened"]

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_ERRORS = (0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.12, 0.1, 0.08, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001)
"""Ticks of an accuracy on the scale of its error."""


def whole_percent(value: float) -> str:
    """0.25 -> "25 %"."""
    return f"{100 * value:.0f} %"


def widened(low: float, high: float) -> tuple[float, float]:
    """The two, or a small range around them where they are one point."""
    margin = max(abs(low) * 0.1, 0.5)
    return (low, high) if high > low else (low - margin, high + margin)


def linear(axis: "Axis", *, words: Callable[[float], str] = number, whole: bool = False) -> None:
    """About five round ticks, written by `words`; `whole`: at whole numbers only."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10], integer=whole))
    axis.set_major_formatter(FuncFormatter(lambda value, _: words(float(f"{value:.12g}"))))


def bounded(axes: "Axes", values: Sequence[float], *, across: bool = False) -> None:
    """Limits around the runs; a wide interval is cut off, so that it does not flatten everything."""
    low, high = min(values), max(values)
    air = max(0.3 * (high - low), 0.004 * max(abs(low), abs(high), 1e-9))
    (axes.set_xlim if across else axes.set_ylim)(low - air, high + air)
    linear(axes.xaxis if across else axes.yaxis, words=lambda value: f"{value:.4g}")


def log_accuracy(axes: "Axes", values: Sequence[float], *, as_accuracy: bool) -> None:
    """A logarithmic y axis around `values`; of an error, with its accuracies, better ones above.

    Left linear where a value is 0.
    """
    if not values or min(values) <= 0:
        return
    axes.set_yscale("log")
    low, high = min(values), max(values)
    air = max((high / low) ** 0.35, 1.02)
    axes.set_ylim(low / air, high * air)
    log_scale(axes.yaxis, low / air, high * air, as_accuracy=as_accuracy)
    if as_accuracy:
        axes.invert_yaxis()


def log_scale(axis: "Axis", low: float, high: float, *, as_accuracy: bool = False) -> None:
    """Ticks of a logarithmic axis: round numbers within a decade or so, powers of ten over several."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator

    axis.set_minor_locator(NullLocator())
    axis.set_minor_formatter(NullFormatter())
    if high / low > 30 and not as_accuracy:
        axis.set_major_locator(LogLocator())
        axis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
        return
    ticks = [tick for tick in MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high) if tick > 0]
    preferred = [tick for tick in (_ERRORS if as_accuracy else _one_two_five(low, high)) if low <= tick <= high]
    if len(preferred) >= 4:
        ticks = preferred
    axis.set_major_locator(FixedLocator(ticks))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{1 - value:.4g}" if as_accuracy else f"{value:.4g}"))


def positions(labels: Sequence[str]) -> dict[str, float]:
    """Where each label stands: its number, or its place in the row."""
    in_row = {label: float(index) for index, label in enumerate(labels)}
    if len(labels) <= 2 or not all(map(_is_number, labels)):
        return in_row
    numbers = {label: float(label) for label in labels}
    return numbers if all(map(math.isfinite, numbers.values())) else in_row


def label_ticks(axes: "Axes", labels: Sequence[str], places: dict[str, float]) -> None:
    """Ticks at the labels; logarithmic where their numbers span decades, with room for a 0 beside them."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    values = sorted(places.values())
    if values == list(range(len(values))) and not all(map(_is_number, labels)):
        axes.set_xticks(values, [shortened(label, 16) for label in labels], color=INK)
        axes.set_xlim(-0.5, len(values) - 0.5)
        return
    positive = [value for value in values if value > 0]
    if len(positive) > 1 and positive[-1] / positive[0] >= 20:
        if len(positive) < len(values):  # a grid of rates often has 0 beside powers of ten
            axes.set_xscale("symlog", linthresh=positive[0], linscale=0.6)
        else:
            axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power_of_ten(value)))
    if len(values) <= 10:
        named = {places[label]: label for label in labels}
        axes.set_xticks(values, [shortened(named[value], 12) for value in values], color=INK)
    axes.margins(x=0.08)


def _one_two_five(low: float, high: float) -> list[float]:
    """1, 2 and 5 times every power of ten around `low` to `high`."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [float(f"{digit}e{exponent}") for exponent in exponents for digit in (1, 2, 5)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _power_of_ten(value: float) -> str:
    """1e6 -> "10⁶"; other numbers as they are."""
    exponent = round(math.log10(value)) if value > 0 else 0
    if value > 0 and math.isclose(value, 10.0**exponent, rel_tol=1e-6):
        return f"10{str(exponent).translate(_SUPERSCRIPTS)}"
    return f"{value:.4g}"
