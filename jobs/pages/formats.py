"""How numbers and texts are written for people: on pages (Jinja filters, cards, rows), in plots, tables, summaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rm_core.evaluation.intervals import Interval

__all__ = [
    "Card",
    "Row",
    "byte_size",
    "compact",
    "count",
    "ends",
    "interval",
    "number",
    "p_value",
    "percent",
    "score",
    "share",
    "shortened",
    "signed",
    "signed_ends",
    "thousands",
]


def percent(value: float) -> str:
    """A share of 1: 0.91666 -> "91.7 %"."""
    return f"{100 * value:.1f} %"


def share(part: int, whole: int) -> str:
    """`part` of `whole` in percent; a dash where there is no whole."""
    return percent(part / whole) if whole else "–"


def interval(ends: "Interval") -> str:
    """Of a share of 1: "88.1 % to 93.0 %"."""
    return f"{percent(ends.low)} to {percent(ends.high)}"


def ends(of: "Interval") -> str:
    """Two shares of 1: "0.881 to 0.930"."""
    return f"{of.low:.3f} to {of.high:.3f}"


def signed_ends(of: "Interval", digits: int = 3) -> str:
    """Of a difference: "-0.012 to +0.041"."""
    return f"{signed(of.low, digits)} to {signed(of.high, digits)}"


def thousands(value: int) -> str:
    """1234 -> "1,234"."""
    return f"{value:,}"


def signed(value: float, digits: int = 3) -> str:
    """0.02 -> "+0.020"."""
    return f"{value:+.{digits}f}"


def number(value: float) -> str:
    """Three digits that matter, without an exponent where it can be read: 0.12345 -> "0.123", 1200.0 -> "1,200"."""
    if value == int(value) and abs(value) < 1e9:
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def score(value: float) -> str:
    """Four decimals where they say something: 0.91266 -> "0.9127"."""
    return f"{value:.4f}" if abs(value) < 100 else number(value)


def p_value(p: float) -> str:
    """A p value: "0.031", "< 0.001"."""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def compact(value: int) -> str:
    """A count of tokens: 1234567 -> "1.23 M", 9876 -> "9,876"."""
    return _scaled(value, ((10**9, "G"), (10**6, "M"), (10**3, "k"))) or f"{value:,}"


def count(value: float) -> str:
    """A count of parameters or FLOPs: 7e9 -> "7 B", 512000 -> "512 k", 3e21 -> "3e+21"."""
    if value >= 1e15 or 0 < value < 1:
        return f"{value:.3g}"
    return _scaled(value, ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))) or f"{value:,.0f}"


def byte_size(value: int) -> str:
    """1234567 -> "1.23 MB"."""
    for size, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:,} B"


def _scaled(value: float, units: tuple[tuple[float, str], ...]) -> str:
    """`value` in the largest unit that it reaches; thousands only from ten of them on. Empty where it reaches none."""
    for size, unit in units:
        if value >= 10 * size or (value >= size and unit != "k"):
            return f"{value / size:.3g} {unit}"
    return ""


def shortened(text: str, limit: int = 34) -> str:
    """At most `limit` characters."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One headline number."""

    name: str
    value: str
    note: str
    style: str = ""
    """A class of the style sheet: "first", "good" or "bad"."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table."""

    name: str
    """Its heading, in the first column."""
    cells: Sequence[str]
    """The other columns."""
    style: str = ""
    """A class of the style sheet: "total" or "best"."""
