"""What a suite is: how its rows are read, which counts it must have, and how its numbers are made."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rm_core.evaluation.suites.outcomes import Outcomes, SuiteNumber

__all__ = ["Layout", "RawRow", "Suite", "SuiteItem", "different_counts", "unknown_names"]


@dataclass(frozen=True, slots=True)
class SuiteItem:
    """One row of a suite, without its texts."""

    index: int
    """Its row, from 0 over all files of the suite: the only key."""
    id: str
    """The row's own id; rows may share it."""
    category: str
    """The smallest part that the suite counts."""
    ranks: tuple[int, ...]
    """The label of each response, in the row's own order; 0 is best."""
    lengths: tuple[int, ...]
    """Characters of each response."""
    num_media: int
    """Pictures and videos."""
    keys: tuple[str, ...]
    """What names each of them: a path, or the sha256 of bytes in the row."""
    prompt_key: str
    """sha256 of the prompt's text."""


@dataclass(frozen=True, slots=True)
class RawRow:
    """What a category is read from: a record, the id of its Comparison and the name of its file."""

    record: Mapping[str, Any]
    id: str
    file: str


def different_counts(found: Mapping[str, int], expected: Mapping[str, int]) -> list[str]:
    """In words, the categories that have another number of rows than expected."""
    return [
        f"{found.get(name, 0):,} rows of {name}, not {number}"
        for name, number in expected.items()
        if found.get(name, 0) != number
    ]


def unknown_names(found: Mapping[str, int], known: Iterable[str], what: str) -> list[str]:
    """In words, the categories that are none of the suite's, which calls one a `what`."""
    return [f"{found[name]:,} rows of the unknown {what} {name!r}" for name in sorted(set(found) - set(known))]


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How the suite's numbers stand in the table of its papers."""

    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str, ...]]
    """Label -> the name of a number for each column; "" where this row has none. Several rows where papers disagree
    how one column is made."""
    about: str
    """What has to be known to read the table."""


@dataclass(frozen=True, kw_only=True)
class Suite:
    """One benchmark."""

    name: str
    title: str
    shape: str
    """The record shape of its rows (`data_pipeline.sources.registry`)."""
    files: tuple[str, ...]
    """Globs below the suite's folder; the files of the first that finds any are read, sorted."""
    category: Callable[[RawRow], str]
    differs: Callable[[Sequence[SuiteItem]], list[str]]
    """What is not as published, in words; nothing for the suite's own rows."""
    measure: Callable[[Outcomes], dict[str, SuiteNumber]]
    """Its numbers by name, the first one the main one."""
    layout: Layout
