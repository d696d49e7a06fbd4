"""`basereward data show|diff|verify`: looking at prepared data; each function returns the exit code."""

import json as json_format
from collections.abc import Sequence
from typing import Any

from data_pipeline.inspection.diff import Change, Count, DataDiff, Group, compare
from data_pipeline.inspection.places import read_place
from data_pipeline.inspection.verify import CheckedFile, checks_of, verify_files
from data_pipeline.shown import one_line, printable_json
from jobs.pages.data_page import write_data_page
from jobs.preprocess.preprocess import unread_rows
from jobs.runtime.terminal import columns, progress, say

__all__ = ["diff", "show", "verify"]

EXIT_DIFFERENT = 1
EXIT_BAD_FILES = 1
MAX_LISTED = 10
MAX_VALUE_CHARS = 60
MAX_URL_CHARS = 500
MAX_ROWS = 60  # of one table; --json has all

_KINDS = {
    "added": "only in B",
    "removed": "only in A",
    "refiltered": "decided otherwise",
    "moved": "moved to the other split",
    "repeated": "shown another number of times",
    "cut": "cut otherwise",
    "source": "counted for another source",
}


def show(folder: str, *, output: str, samples: int, seed: int) -> int:
    """Write the page about `folder` to `output`."""
    place = read_place(folder)
    write_data_page(folder, output=output, samples=samples, seed=seed)
    counts = place.manifest.counts
    say(f"{folder}: {counts.seen:,} seen = {counts.kept:,} kept + {counts.refused:,} refused")
    for name, source in counts.by_source.items():
        if source.groups:
            say(f"{name}: {source.kept:,} Comparisons in {source.groups:,} groups of one prompt")
        for what, number in unread_rows(source.unread):
            say(f"{name}: {what} {number}".rstrip())
    say(f"wrote {output}: open it in a browser")
    return 0


def diff(before: str, after: str, *, json: bool) -> int:
    """Print what changed from `before` to `after`; 0: nothing, 1: something."""
    first, second = read_place(before), read_place(after)
    found = compare(first.manifest, first.rows(), second.manifest, second.rows())
    if json:
        text = json_format.dumps({"a": before, "b": after, **found.to_json()}, indent=2, ensure_ascii=False)
        print(printable_json(text))
    elif found.is_empty:
        say(f"the same: {first.manifest.counts.kept:,} Comparisons, manifest {first.manifest.address}")
    else:
        say(f"A: {before} ({first.manifest.address})")
        say(f"B: {after} ({second.manifest.address})")
        _show(found)
    return 0 if found.is_empty else EXIT_DIFFERENT


def verify(folder: str) -> int:
    """Check every file; 1 where some are bad, with the first of them listed."""
    place = read_place(folder)
    checks = checks_of(place.folder, place.manifest)
    total = len(checks)
    bad: list[CheckedFile] = []
    with progress("verify files", total) as advance:
        for done, checked in enumerate(verify_files(checks), start=1):
            bad += [checked] if checked.problem else []
            advance(done, f"{len(bad)} bad" if bad else "")
    for one in bad[:MAX_LISTED]:
        say(f"bad: {one_line(one.url, MAX_URL_CHARS)} {one.problem}")
    if len(bad) > MAX_LISTED:
        say(f"... and {len(bad) - MAX_LISTED:,} more")
    if bad:
        say(f"{folder}: {len(bad):,} of {total:,} files are bad: move these aside, and run the same preprocess again")
        return EXIT_BAD_FILES
    say(f"{folder}: all {total:,} files are as they were written")
    return 0


def _show(found: DataDiff) -> None:
    _changes("Settings", found.settings)
    _changes("Inputs", found.inputs)
    _counts(found.counts)
    _groups(found.comparisons)
    _changes("Files", found.files)


def _changes(title: str, changes: Sequence[Change]) -> None:
    rows = [(change.name, _value(change.before), _value(change.after)) for change in changes]
    _section(f"{title}: {len(changes):,} changed", ("", "A", "B"), rows)


def _counts(counts: Sequence[Count]) -> None:
    rows = [
        (count.name, f"{count.before:,}", f"{count.after:,}", f"{count.after - count.before:+,}") for count in counts
    ]
    _section("Counts", ("", "A", "B", "change"), rows)


def _groups(groups: Sequence[Group]) -> None:
    rows = [(_KINDS[one.kind], one.before, one.after, f"{one.count:,}", ", ".join(one.examples)) for one in groups]
    _section("Comparisons, matched by content", ("what", "A", "B", "how many", "the first ones"), rows)


def _section(title: str, names: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    if not rows:
        return
    columns(title, names, rows[:MAX_ROWS])
    if len(rows) > MAX_ROWS:
        say(f"... and {len(rows) - MAX_ROWS:,} more: --json has all")


def _value(value: Any) -> str:
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json_format.dumps(value, ensure_ascii=False)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[: MAX_VALUE_CHARS - 1]}…"
