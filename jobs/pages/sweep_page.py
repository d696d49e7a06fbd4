"""A sweep's report as one HTML page that needs no other file: the pictures are inside it."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from jobs.pages.shell import card, page
from jobs.pages.svg import number
from jobs.pages.sweep_tables import (
    Absent,
    absent_table,
    laws_table,
    points_table,
    ranking_table,
    sources_table,
)
from jobs.pages.sweep_words import count, headline, mean_words, score
from rm_core.evaluation.paired import PairedComparison
from rm_core.scaling.analysis import Analysis

__all__ = ["Picture", "render_page"]

_STYLE = """
.picture img { display: block; width: 100%; height: auto; border-radius: 6px; background: #fff; }
th[scope=row] { text-align: left; }
thead tr + tr th:first-child { text-align: right; padding-left: 8px; }
.best td, .best th, tr.ours td, tr.ours th { color: var(--mark); }
.best th { font-weight: 650; }
td.words, th.words { text-align: left; white-space: normal; min-width: 190px; padding-left: 18px; }
tr.ours td.absent { color: var(--chance); font-size: 11.5px; }
tr.paper td, tr.paper th { border-bottom: 0; }
th.over { text-align: center; }
td sup { color: var(--other); font-weight: 650; line-height: 0; }
.notes { font-size: 13px; color: var(--soft); margin: 8px 0; padding-left: 20px; }
.says { margin: 0 0 16px; font-size: 17px; }
"""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One plot."""

    file: str
    """Its name beside the page."""
    title: str
    note: str
    """How to read it, as text."""
    png: bytes
    is_wide: bool = False
    """Whether it takes the whole line."""


def render_page(
    analysis: Analysis,
    *,
    title: str,
    pictures: Sequence[Picture],
    items: Mapping[str, PairedComparison],
    absent: Sequence[Absent],
    extra: Sequence[str] = (),
) -> str:
    """The whole page.

    Args:
        title: of the sweep.
        pictures: wide ones stand alone, the others two in a line.
        items: label -> the best against it on the same Comparisons; may be empty.
        absent: trials without a point.
        extra: further sections, as HTML, before the points.
    """
    finished = len(analysis.points)
    lead = f"{finished} finished trial{'s' if finished != 1 else ''}"
    lead += f", {len(absent)} not finished" if absent else ""
    lead += f". Intervals have {100 * analysis.confidence:g} % confidence"
    small = [_picture(one) for one in pictures if not one.is_wide]
    parts = [
        f'<h1>{escape(title)}</h1>\n<p class="lead">{lead}.</p>',
        f'<p class="says">{escape(headline(analysis, items))}</p>',
        _cards(analysis),
        "".join(_picture(one) for one in pictures if one.is_wide),
        f'<div class="figures wide">\n{"".join(small)}</div>' if small else "",
        ranking_table(analysis, items) if analysis.places else "",
        laws_table(analysis.fits) if analysis.fits else "",
        *extra,
        sources_table(analysis),
        points_table(analysis) if analysis.points else "",
        absent_table(absent) if absent else "",
        _meanings(),
    ]
    return page(title, "\n".join(part for part in parts if part), style=_STYLE)


def _cards(analysis: Analysis) -> str:
    cards = []
    if analysis.places:
        best = analysis.places[0]
        size = count(analysis.of_label(best.label)[0].num_parameters)
        name = escape(analysis.metric.replace("_", " "))
        cards.append(card(f"Best {name}", score(best.mean.value), mean_words(best.mean), "first"))
        cards.append(card("Reached by", escape(best.label), f"{size} parameters"))
    hours = sum(point.gpu_hours for point in analysis.points)
    cards.append(card("GPU-hours", number(hours), "workers × hours, finished trials"))
    costs = [point.cost for point in analysis.points if point.cost is not None]
    if costs:
        partly = "finished trials" if len(costs) == len(analysis.points) else f"the {len(costs)} priced trials"
        cards.append(card("Cost", f"$ {number(sum(costs))}", partly))
    for fit in analysis.fits[:1]:
        law = fit.best
        if law is not None and law.is_clear:
            above = "" if law.floor is None else ", above its floor"
            cards.append(card(f"10 × {fit.measure.name}", f"× {law.factor(10):.3g}", f"{fit.quantity.name}{above}"))
    return f'<div class="cards">\n{"".join(cards)}</div>'


def _picture(one: Picture) -> str:
    data = base64.b64encode(one.png).decode()
    return (
        f'<section class="picture{" wide" if one.is_wide else ""}"><h2>{escape(one.title)}</h2>'
        f'<p class="note">{escape(one.note)}</p>'
        f'<img alt="{escape(one.title, quote=True)}" src="data:image/png;base64,{data}"></section>\n'
    )


def _meanings() -> str:
    return (
        '<section class="wide"><h2>What the numbers mean</h2><p class="note">The error is 1 - pair accuracy on the '
        "held-out part, the log-loss the mean of -log sigmoid(margin) over its ordered pairs. A law is fitted to "
        "single runs by relative least squares; its intervals come from 1,000 draws of its residuals, widened by "
        "Student's t for few points. A small p of bends says that the means lie off the law by more than seeds "
        "scatter. FLOPs are three times those of the forward passes over the packed rows. Seeds vary the order of "
        "data and the head's first weights, on the same held-out Comparisons; how far other Comparisons could change "
        "a difference is what the paired intervals say.</p></section>"
    )
