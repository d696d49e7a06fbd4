"""A table of the paper with a sweep's numbers below each of its rows: as what the page draws, and as lines of text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean

from jobs.pages.paper_table import PaperTable, Row
from jobs.pages.sweep_page import PaperCell, PaperRowView, PaperView
from rm_core.scaling.series import TrialPoint

__all__ = ["Measured", "measured", "paper_lines", "paper_view"]

_NOT_MEASURED = "not measured"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a sweep has for one row of the paper, in percent, means over seeds."""

    values: tuple[float | None, ...]
    """In the paper's columns; None where it was not measured."""
    accuracy: float | None
    """Held-out pair accuracy; None where no trial repeats the row."""
    by_source: dict[str, float]
    """Of every source of the evaluation."""
    num_seeds: int
    notes: tuple[str, ...] = ()
    """Which benchmarks were not measured as their authors do."""


def measured(table: PaperTable, points: Sequence[TrialPoint]) -> dict[str, Measured]:
    """What `points` have for each row of `table`, by the row's title; the trial is found by its labels or axes."""
    return {row.title: _of_row(table, row, points) for row in table.rows}


def paper_view(table: PaperTable, ours: Mapping[str, Measured]) -> PaperView:
    """The paper's rows, each with ours below it, in the paper's layout; slips have a footnote each."""
    measured_names = {name for one in ours.values() for name in one.by_source}
    sources = sorted(measured_names - {column.ours for column in table.columns})
    numbers, notes = _footnotes(table)
    return PaperView(
        title=table.title,
        source=table.source,
        about=" ".join((table.about, *dict.fromkeys(note for one in ours.values() for note in one.notes))),
        row_names=table.row_names,
        headings=[(name, len(list(group))) for name, group in groupby(table.columns, key=lambda column: column.over)],
        columns=[column.name for column in table.columns],
        sources=sources,
        rows=[_row_view(table, row, ours[row.title], sources, numbers) for row in table.rows],
        footnotes=list(notes),
    )


def paper_lines(table: PaperTable, ours: Mapping[str, Measured]) -> list[list[str]]:
    """The same as cells of text: a heading, then a line a row, and one of ours below it where a trial repeats it."""
    lines = [[*table.row_names, *(_name(column.over, column.name) for column in table.columns), "held-out"]]
    for row in table.rows:
        lines.append([*row.name, *(_cell(value, _digits(table, row)) for value in row.values), ""])
        one = ours[row.title]
        if one.accuracy is not None:
            values = [_NOT_MEASURED if value is None else f"{value:.1f}" for value in (*one.values, one.accuracy)]
            lines.append(["→ ours", *[""] * (len(row.name) - 1), *values])
    return lines


def _of_row(table: PaperTable, row: Row, points: Sequence[TrialPoint]) -> Measured:
    found = [point for point in points if row.trial is not None and row.trial in _titles(point)]
    if not found:
        return Measured(values=(None,) * len(table.columns), accuracy=None, by_source={}, num_seeds=0)
    names = set.intersection(*(set(point.by_source) for point in found))
    by_source = {name: 100 * fmean(point.by_source[name] for point in found) for name in sorted(names)}
    suites = {name: 100 * fmean(point.suites[name] for point in found) for name in _common(found)}
    values = [suites.get(column.suite or "", by_source.get(column.ours or "")) for column in table.columns]
    for index, column in enumerate(table.columns):
        parts = [values[part] for part in column.mean_ours]
        known = [part for part in parts if part is not None]
        if values[index] is None and parts and len(known) == len(parts):
            values[index] = fmean(known)
    accuracy = 100 * fmean(point.accuracy for point in found)
    notes = tuple(dict.fromkeys(note for point in found for note in point.suite_notes.values()))
    return Measured(values=tuple(values), accuracy=accuracy, by_source=by_source, num_seeds=len(found), notes=notes)


def _common(points: Sequence[TrialPoint]) -> list[str]:
    """Numbers of benchmarks that all of them have."""
    return sorted(set.intersection(*(set(point.suites) for point in points)))


def _titles(point: TrialPoint) -> set[str]:
    """What a table may call a trial."""
    return {point.label, ", ".join(point.axes.values())}


def _footnotes(table: PaperTable) -> tuple[dict[tuple[str, int], list[int]], dict[str, int]]:
    """(row, column) -> the numbers of its footnotes, and footnote -> its number."""
    notes: dict[str, int] = {}
    numbers: dict[tuple[str, int], list[int]] = {}
    order = {row.title: index for index, row in enumerate(table.rows)}
    for slip in sorted(table.slips, key=lambda one: (order[one.row], one.columns)):
        number = notes.setdefault(slip.note, len(notes) + 1)
        for column in slip.columns:
            numbers.setdefault((slip.row, column), []).append(number)
    return numbers, notes


def _row_view(
    table: PaperTable, row: Row, one: Measured, sources: Sequence[str], numbers: Mapping[tuple[str, int], list[int]]
) -> PaperRowView:
    cells = [
        PaperCell(
            text=_cell(value, _digits(table, row)),
            footnotes=", ".join(map(str, numbers.get((row.title, column), []))),
        )
        for column, value in enumerate(row.values)
    ]
    ours = (*one.values, one.accuracy, *(one.by_source.get(name) for name in sources))
    return PaperRowView(
        name=row.name,
        is_chosen=row.chosen,
        cells=cells,
        ours=None if one.accuracy is None else [_cell(value, 1) for value in ours],
        num_seeds=one.num_seeds,
    )


def _cell(value: float | None, digits: int) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _digits(table: PaperTable, row: Row) -> int:
    return table.digits if row.digits is None else row.digits


def _name(over: str, name: str) -> str:
    return f"{over} {name}" if over else name
