"""A table of the paper with a sweep's numbers below its rows, as the sweep's page draws it."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["PaperCell", "PaperRowView", "PaperView"]


@dataclass(frozen=True, kw_only=True)
class PaperCell:
    """One number of the paper."""

    text: str
    """Empty where the paper prints none."""
    footnotes: str
    """The numbers of its footnotes, with commas."""


@dataclass(frozen=True, kw_only=True)
class PaperRowView:
    """One model of the paper, and what the sweep measured for it."""

    name: Sequence[str]
    """A part for each of the table's `row_names`."""
    is_chosen: bool
    """Whether the paper went on with it."""
    cells: Sequence[PaperCell]
    ours: Sequence[str] | None
    """In percent, in the paper's columns and those of `PaperView.sources`; an empty text was not measured. None where
    no trial repeats the row."""
    num_seeds: int


@dataclass(frozen=True, kw_only=True)
class PaperView:
    """The whole table."""

    title: str
    source: str
    """Such as "Table 2"."""
    about: str
    row_names: Sequence[str]
    headings: Sequence[tuple[str, int]]
    """Those above the columns, and how many each spans."""
    columns: Sequence[str]
    sources: Sequence[str]
    """Further columns: sources of our evaluation that are none of the paper's."""
    rows: Sequence[PaperRowView]
    footnotes: Sequence[str]
    """In the order of their numbers."""
