"""A sweep's report as one HTML page that needs no other file: the pictures are inside it, and a table of the paper."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.pages import sweep_views as views
from jobs.pages.environment import render
from jobs.pages.formats import Row
from jobs.pages.sweep_pictures import Picture
from jobs.pages.sweep_words import OverLength, headline, law_rows, law_words, length_words
from rm_core.evaluation.paired import PairedComparison
from rm_core.scaling.analysis import Analysis

__all__ = ["CostView", "PaperCell", "PaperRowView", "PaperView", "render_page"]


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


@dataclass(frozen=True, kw_only=True)
class CostView:
    """Accuracy and cost of every label, in the paper's layout."""

    accuracy_columns: Sequence[str]
    cost_columns: Sequence[str]
    rows: Sequence[Row]
    """A cell for each of these columns."""
    num_seeds: int
    """Of the label that has most; intervals are means over seeds where there are several."""
    device: str
    """GPU or CPU."""


def render_page(
    analysis: Analysis,
    *,
    title: str,
    pictures: Sequence[Picture],
    items: Mapping[str, PairedComparison],
    lengths: Mapping[str, OverLength],
    absent: Sequence[views.Absent],
    paper: PaperView | None = None,
    cost: CostView | None = None,
) -> str:
    """The whole page.

    Args:
        title: of the sweep.
        pictures: wide ones stand alone, the others two in a line.
        items: label -> the best against it on the same Comparisons; may be empty.
        lengths: label -> its models against the rule that the longer answer wins; may be empty.
        absent: trials without a point.
        paper: a table of the paper beside ours.
        cost: accuracy beside what the rewards cost; None: it is not known.
    """
    sources, source_rows = views.source_rows(analysis)
    return render(
        "sweep.html.j2",
        title=title,
        analysis=analysis,
        metric=analysis.metric.replace("_", " "),
        headline=f"{headline(analysis, items)} {length_words(lengths)}".strip(),
        cards=views.sweep_cards(analysis),
        wide_pictures=[one for one in pictures if one.is_wide],
        pictures=[one for one in pictures if not one.is_wide],
        ranking_columns=views.ranking_columns(items, lengths),
        ranking=views.ranking_rows(analysis, items, lengths),
        laws=law_rows(analysis.fits),
        law_words=[law_words(fit) for fit in analysis.fits],
        paper=paper,
        cost=cost,
        sources=sources,
        source_rows=source_rows,
        point_columns=views.point_columns(analysis),
        points=views.point_rows(analysis),
        absent=absent,
    )
