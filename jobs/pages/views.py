"""What templates draw: texts that are ready to show, without any HTML. Jinja escapes every one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Card", "Row"]


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
