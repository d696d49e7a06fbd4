"""Suites as people read them: each in the layout of its papers, ours above the published rows; as Markdown and a page.

SuiteReport --suite_view--> SuiteView -> `suites_markdown` (suites.md), or the section ``suites.html.j2`` of a page
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from data_pipeline.shown import markdown
from jobs.pages.diagnostics_views import DiagnosticsView, diagnostics_view, warnings_of
from jobs.pages.environment import render
from jobs.pages.failure_views import FailureView
from jobs.pages.formats import Row, interval, percent, signed
from jobs.pages.paper_table import PaperTable, load_table
from rm_core.evaluation.suites.outcomes import SuiteNumber
from rm_core.evaluation.suites.report import SuiteReport

__all__ = ["PUBLISHED", "SuiteView", "opening", "render_suites", "suite_view", "suites_markdown"]

PUBLISHED = {
    "mm_rlhf_rewardbench": "mm_rlhf",
    "vl_rewardbench": "vl_rewardbench",
    "multimodal_rewardbench": "multimodal_rewardbench",
}
"""Suite -> the table of the paper with its published rows."""
_NUMBERS = ("", "value", "interval", "right", "of")


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    """A model of the paper."""

    name: str
    cells: Sequence[tuple[str, str]]
    """(number, numbers of its footnotes) in the layout's columns."""


@dataclass(frozen=True, kw_only=True)
class SuiteView:
    """One suite as texts; numbers of the tables in percent."""

    title: str
    warnings: Sequence[str]
    """What the numbers were measured on, where it is not the whole suite."""
    shortcuts: Sequence[str]
    """A sentence for each shortcut that explains the score."""
    about: str
    columns: Sequence[str]
    ours: Sequence[Row]
    """Our rows in the layout; an empty text was not measured."""
    published: Sequence[PublishedRow]
    footnotes: Sequence[str]
    """Of published numbers that can't be right, in the order of their numbers."""
    source: str
    """Where the published rows are from; empty where there are none."""
    number_columns: Sequence[str]
    numbers: Sequence[Row]
    """All numbers with interval and counts."""
    facts: Mapping[str, str]
    diagnosed: DiagnosticsView | None
    """What the score may rest on; None where no row has rewards."""
    failures: Sequence[FailureView]
    """Rows on which the model is most wrong."""


def suite_view(
    report: SuiteReport,
    model: str,
    failures: Sequence[FailureView] = (),
    more_facts: Mapping[str, str] = MappingProxyType({}),
) -> SuiteView:
    """A suite's report as texts.

    Args:
        model: names our rows.
        failures: rows on which it is most wrong.
        more_facts: how the rewards were had.
    """
    table = load_table(PUBLISHED[report.suite]) if report.suite in PUBLISHED else None
    published, footnotes = ([], []) if table is None else _published(table)
    return SuiteView(
        title=report.title,
        warnings=_warnings(report),
        shortcuts=[] if report.diagnostics is None else warnings_of(report.diagnostics),
        about=report.layout.about,
        columns=report.layout.columns,
        ours=[
            Row(name=f"{model}, {label}" if label else model, cells=[_cell(value) for value in values], style="best")
            for label, values in report.table()
        ],
        published=published,
        footnotes=footnotes,
        source="" if table is None else f"{table.source} of arXiv 2509.16127v1",
        number_columns=_NUMBERS,
        numbers=[_row(name, number) for name, number in report.numbers.items()],
        facts={**_facts(report), **more_facts},
        diagnosed=None if report.diagnostics is None else diagnostics_view(report.diagnostics),
        failures=failures,
    )


def suites_markdown(views: Sequence[SuiteView], title: str, given_by: str = "") -> str:
    """All suites as one Markdown text; `given_by`: whose rewards they are, where not the model's."""
    parts = [f"# {markdown(title)}", "", *([markdown(given_by), ""] if given_by else [])]
    for view in views:
        parts += [f"## {view.title}", ""]
        parts += [f"**{warning}**\n" for warning in (*view.shortcuts, *view.warnings)]
        parts += [_line("", *view.columns), _line("---", *["---:"] * len(view.columns))]
        parts += [
            _line(f"**{markdown(row.name)}**", *(f"**{cell}**" if cell else "" for cell in row.cells))
            for row in view.ours
        ]
        parts += [
            _line(markdown(row.name), *(f"{text} ({notes})" if notes else text for text, notes in row.cells))
            for row in view.published
        ]
        parts += ["", f"In percent. {view.about}" + (f" Published rows: {view.source}." if view.source else ""), ""]
        parts += [f"({number}) {note}  " for number, note in enumerate(view.footnotes, 1)]
        parts += [""] if view.footnotes else []
        parts += [f"- {name}: {value}" for name, value in view.facts.items()]
        parts += ["", _line(*view.number_columns), _line("---", *["---:"] * (len(view.number_columns) - 1))]
        parts += [_line(row.name, *row.cells) for row in view.numbers]
        parts.append("")
    return "\n".join(parts)


def render_suites(views: Sequence[SuiteView], *, title: str, facts: Mapping[str, str], given_by: str = "") -> str:
    """A page of suites alone, which needs no other file and no network."""
    warnings = opening(views)
    return render("suites_page.html.j2", title=title, suites=views, facts=facts, warnings=warnings, given_by=given_by)


def opening(suites: Sequence[SuiteView]) -> list[str]:
    """Shortcuts of all suites, each under its suite's name: a page opens with them."""
    return [f"{view.title}: {sentence}" for view in suites for sentence in view.shortcuts]


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: float | None) -> str:
    return "" if value is None else f"{100 * value:.2f}"


def _row(name: str, number: SuiteNumber) -> Row:
    counts = ("", "") if number.right is None else (f"{number.right:,}", f"{number.out_of:,}")
    return Row(name=name, cells=[percent(number.value), interval(number.interval), *counts])


def _warnings(report: SuiteReport) -> list[str]:
    found = []
    if report.without_pictures:
        found.append(
            f"{report.without_pictures:,} of {report.num_items:,} rows were scored without their pictures: no "
            "number of a model that sees."
        )
    if missing := sum(report.not_scored.values()):
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in report.not_scored.items())
        found.append(f"{missing:,} of {report.num_items:,} rows have no rewards and count as wrong: {reasons}.")
    return found


def _facts(report: SuiteReport) -> dict[str, str]:
    facts = {
        "rows": f"{report.num_items:,} in {report.num_groups:,} groups that share no picture and no text-only prompt",
        "equal rewards": f"{report.tied_pairs:,} of {report.num_pairs:,} pairs; they are wrong",
        "categories": ", ".join(f"{name} {number:,}" for name, number in report.categories.items()),
    }
    if report.pairs is not None:
        overall = report.pairs.overall
        facts["longer answer wins"] = f"{percent(overall.length_only.value)}, lengths in characters"
        facts["accuracy over that"] = f"{signed(100 * overall.over_length.value, 1)} points"
        facts["calibration error"] = percent(report.pairs.calibration_error)
    return facts


def _published(table: PaperTable) -> tuple[list[PublishedRow], list[str]]:
    """The paper's rows, and the footnotes of its slips."""
    notes: dict[str, int] = {}
    marks: dict[tuple[str, int], list[str]] = {}
    order = {row.title: place for place, row in enumerate(table.rows)}
    for slip in sorted(table.slips, key=lambda one: (order[one.row], one.columns)):
        number = notes.setdefault(slip.note, len(notes) + 1)
        for column in slip.columns:
            marks.setdefault((slip.row, column), []).append(str(number))
    rows = []
    for row in table.rows:
        digits = table.digits if row.digits is None else row.digits
        cells = [
            ("" if value is None else f"{value:.{digits}f}", ", ".join(marks.get((row.title, column), [])))
            for column, value in enumerate(row.values)
        ]
        rows.append(PublishedRow(name=row.title, cells=cells))
    return rows, list(notes)
