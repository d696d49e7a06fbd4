"""A sweep's report as one HTML page that needs no other file: the pictures are inside it."""

from collections.abc import Mapping, Sequence

from jobs.pages import sweep_views as views
from jobs.pages.environment import render
from jobs.pages.paper_view import PaperView
from jobs.pages.sweep_law_views import law_rows
from jobs.pages.sweep_pictures import Picture
from jobs.pages.sweep_words import headline, law_words
from rm_core.evaluation.paired import PairedComparison
from rm_core.scaling.analysis import Analysis

__all__ = ["render_page"]


def render_page(
    analysis: Analysis,
    *,
    title: str,
    pictures: Sequence[Picture],
    items: Mapping[str, PairedComparison],
    absent: Sequence[views.Absent],
    paper: PaperView | None = None,
) -> str:
    """The whole page.

    Args:
        title: of the sweep.
        pictures: wide ones stand alone, the others two in a line.
        items: label -> the best against it on the same Comparisons; may be empty.
        absent: trials without a point.
        paper: a table of the paper beside ours.
    """
    sources, source_rows = views.source_rows(analysis)
    return render(
        "sweep.html.j2",
        title=title,
        analysis=analysis,
        metric=analysis.metric.replace("_", " "),
        headline=headline(analysis, items),
        cards=views.sweep_cards(analysis),
        wide_pictures=[one for one in pictures if one.is_wide],
        pictures=[one for one in pictures if not one.is_wide],
        ranking_columns=views.ranking_columns(items),
        ranking=views.ranking_rows(analysis, items),
        laws=law_rows(analysis.fits),
        law_words=[law_words(fit) for fit in analysis.fits],
        paper=paper,
        sources=sources,
        source_rows=source_rows,
        point_columns=views.point_columns(analysis),
        points=views.point_rows(analysis),
        absent=absent,
    )
