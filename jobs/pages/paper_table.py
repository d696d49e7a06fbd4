"""The tables of the BaseReward paper (arXiv 2509.16127v1) as data, with their slips found by arithmetic.

A table says how its columns hang together: one is the mean of others, or a share of so many items. `slips` computes
where its numbers do not, so that each mark on a page is a calculation and not a claim.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from data_pipeline.errors import RecipeError

__all__ = ["Column", "PaperTable", "Relation", "Row", "Slip", "load_table", "table_names"]

_ROUNDING = 1e-9


@dataclass(frozen=True, kw_only=True)
class Column:
    """One column of numbers, in percent."""

    name: str
    over: str = ""
    """The heading above it, shared with its neighbours."""
    ours: str | None = None
    """The source of an evaluation whose accuracy belongs here."""
    suite: str | None = None
    """The number of a published benchmark that belongs here, ``SUITE/NUMBER``; it goes before `ours`."""
    mean_ours: tuple[int, ...] = ()
    """Columns whose mean belongs here, where all of them were measured."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of the paper."""

    name: tuple[str, ...]
    """A part for each of the table's `row_names`."""
    values: tuple[float | None, ...]
    """None where the paper prints no number."""
    trial: str | None = None
    """The labels on a sweep's axes, with commas, of the trial that repeats it."""
    chosen: bool = False
    """Whether the paper went on with it."""
    digits: int | None = None
    """Decimals of this row, where it has others than the table."""

    @property
    def title(self) -> str:
        return ", ".join(self.name)


@dataclass(frozen=True, kw_only=True)
class Relation:
    """What should hold between the numbers of a row."""

    column: int
    mean: tuple[int, ...] = ()
    """It is the mean of these columns ..."""
    weights: tuple[int, ...] = ()
    """... weighted by these numbers of items."""
    of: int | None = None
    """Or: it is a whole number out of so many."""
    apart: int | None = None
    """Or: it is another measurement than this column, and should not repeat it."""
    rows: tuple[str, ...] = ()
    """Only for these; none: for all."""
    says: str = ""
    """What the mean is, in words."""


@dataclass(frozen=True, kw_only=True)
class Slip:
    """A number that can't be right, or does not mean what its column says."""

    row: str
    columns: tuple[int, ...]
    note: str


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """One table."""

    name: str
    title: str
    source: str
    about: str
    row_names: tuple[str, ...]
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    relations: tuple[Relation, ...]
    known: tuple[Slip, ...]
    """What is known beyond this table's own arithmetic."""
    digits: int

    @property
    def slips(self) -> list[Slip]:
        """What arithmetic finds, and what is known besides."""
        found = [slip for relation in self.relations for row in self.rows for slip in self._broken(relation, row)]
        return [*found, *self.known]

    def _broken(self, relation: Relation, row: Row) -> Iterator[Slip]:
        value = row.values[relation.column]
        if value is None or (relation.rows and row.title not in relation.rows):
            return
        digits = self.digits if row.digits is None else row.digits
        note = _why(relation, row, value, digits)
        if note:
            yield Slip(row=row.title, columns=(relation.column,), note=note)


@cache
def table_names() -> tuple[str, ...]:
    """The tables there are, sorted."""
    folder = files("jobs.pages").joinpath("paper_tables")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


@cache
def load_table(name: str) -> PaperTable:
    """One table by its name, such as ``head``.

    Raises:
        RecipeError: there is no such table.
    """
    if name not in table_names():
        raise RecipeError(f"sweep.paper_table={name!r} is not known; there are {', '.join(table_names())}")
    text = files("jobs.pages").joinpath("paper_tables", f"{name}.yaml").read_text(encoding="utf-8")
    value: Mapping[str, Any] = yaml.safe_load(text)
    return PaperTable(
        name=name,
        title=value["title"],
        source=value["source"],
        about=value["about"],
        row_names=tuple(value["row_names"]),
        columns=tuple(Column(**_tuples(one)) for one in value["columns"]),
        rows=tuple(Row(**_tuples(one)) for one in value["rows"]),
        relations=tuple(Relation(**_tuples(one)) for one in value.get("relations", [])),
        known=tuple(Slip(**_tuples(one)) for one in value.get("slips", [])),
        digits=value.get("digits", 1),
    )


def _why(relation: Relation, row: Row, value: float, digits: int) -> str:
    """What is wrong with `value`; empty where nothing is."""
    unit = 10.0**-digits
    if relation.of is not None:
        return "" if _is_share(value, relation.of, unit) else _no_share(value, relation.of, digits)
    if relation.apart is not None:
        other = row.values[relation.apart]
        return f"{value:.{digits}f} stands in two columns that measure different things" if value == other else ""
    parts = [row.values[column] for column in relation.mean]
    weights: Sequence[int] = relation.weights or (1,) * len(parts)
    mean = math.fsum(w * (part or 0.0) for w, part in zip(weights, parts, strict=True)) / sum(weights)
    # The parts are rounded, by at most half a unit each, and so is the mean.
    if abs(value - mean) <= unit + _ROUNDING:
        return ""
    return f"{value:.{digits}f} is not {relation.says}, {mean:.{digits}f}"


def _is_share(value: float, total: int, unit: float) -> bool:
    """Whether a whole number of `total`, in percent, rounded or cut off gives `value`."""
    nearest = round(value * total / 100)
    shares = [100 * count / total for count in (nearest - 1, nearest, nearest + 1)]
    return any(share - unit - _ROUNDING < value <= share + unit / 2 + _ROUNDING for share in shares)


def _no_share(value: float, total: int, digits: int) -> str:
    below = math.floor(value * total / 100)
    shares = " and ".join(f"{100 * count / total:.{digits}f}" for count in (below, below + 1))
    return f"{value:.{digits}f} is no whole number of {total}: next to it are {shares}"


def _tuples(value: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
