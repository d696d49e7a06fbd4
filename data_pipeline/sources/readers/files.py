"""Files to raw records, by row range: .jsonl, .json (one list), .csv, .tsv (each also .gz), .parquet and .arrow.

A range is what one work unit reads. Splitting a file reads it once and notes the byte where each range begins, so that
a unit seeks instead of reading everything before it; a file in gzip is unpacked up to there, .parquet and .arrow read
the row groups and batches that the range touches. Memory holds about one record, or one batch of rows, whatever the
file's size. A file may lie on this machine, remote, or in an archive.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from data_pipeline import storage
from data_pipeline.errors import MissingInput
from data_pipeline.sources.readers.arrow_rows import count_arrow, read_arrow
from data_pipeline.sources.readers.csv_rows import read_table, scan_table
from data_pipeline.sources.readers.json_lists import read_list, scan_list
from data_pipeline.sources.readers.parquet_rows import count_parquet, read_parquet
from data_pipeline.sources.readers.streams import Row, RowRange, read_lines, scan_lines, to_ranges

__all__ = ["RowRange", "SourceFile", "count_rows", "read_rows", "split_rows"]


@dataclass(frozen=True)
class SourceFile:
    """A file of records.

    Attributes:
        url: the file.
        media_root: what its image paths start from; None: as the recipe says.
        repeat: how often an epoch shows its Comparisons, by the set's own index.
    """

    url: str
    media_root: str | None = None
    repeat: float = 1.0


class _Text(NamedTuple):
    """A text format: the byte where each row begins, and the rows of a range."""

    scan: Callable[[str], Iterator[int]]
    read: Callable[[str, int, int | None, int], Iterator[Row]]


class _Table(NamedTuple):
    """A format that knows where its rows are: how many, and those of a range."""

    count: Callable[[str], int]
    read: Callable[[str, int, int | None], Iterator[Row]]


_LINES, _LIST, _TABLE = _Text(scan_lines, read_lines), _Text(scan_list, read_list), _Text(scan_table, read_table)
_FORMATS: dict[str, _Text | _Table] = {
    ".jsonl": _LINES,
    ".jsonl.gz": _LINES,
    ".json": _LIST,
    ".json.gz": _LIST,
    ".csv": _TABLE,
    ".csv.gz": _TABLE,
    ".tsv": _TABLE,
    ".tsv.gz": _TABLE,
    ".parquet": _Table(count_parquet, read_parquet),
    ".arrow": _Table(count_arrow, read_arrow),
}


def count_rows(url: str) -> int:
    """Rows of the file; for JSON lines and tables blank ones included, a table's first line not.

    Raises:
        MissingInput: the file is not there, cannot be read to its end, or has an unknown suffix.
    """
    with _whole(url):
        found = _FORMATS[_suffix(url)]
        return found.count(url) if isinstance(found, _Table) else sum(1 for _ in found.scan(url))


def split_rows(url: str, rows_per_range: int) -> list[RowRange]:
    """The file cut into ranges of at most `rows_per_range` rows: 600 rows by 256 -> 256 + 256 + 88.

    Raises:
        MissingInput: as for `count_rows`.
    """
    if rows_per_range < 1:
        raise ValueError(f"rows_per_range must be at least 1, got {rows_per_range}")
    with _whole(url):
        found = _FORMATS[_suffix(url)]
        if isinstance(found, _Text):
            return to_ranges(found.scan(url), rows_per_range)
        rows = found.count(url)
        return [RowRange(start, min(rows_per_range, rows - start)) for start in range(0, rows, rows_per_range)]


def read_rows(url: str, start: int = 0, count: int | None = None, offset: int = 0) -> Iterator[Row]:
    """Yield (row number, raw record) for rows [start, start + count) of the file.

    A row that is no record comes as a RecordError with reason ``"malformed_record"`` in its place: no JSON object, or
    a row of a table with more or fewer fields than its first line. Blank lines are skipped, and still count as rows.

    Args:
        url: the file.
        start: first row, from 0.
        count: how many rows; None: all that follow.
        offset: the byte where row `start` begins, as `split_rows` gives it; 0: not known.

    Raises:
        MissingInput: as for `count_rows`.
    """
    with _whole(url):
        found = _FORMATS[_suffix(url)]
        if isinstance(found, _Table):
            yield from found.read(url, start, count)
        else:
            yield from found.read(url, start, count, offset)


def _suffix(url: str) -> str:
    for suffix in _FORMATS:
        if url.lower().endswith(suffix):
            return suffix
    hint = f"; name the files in the archive, as in {url}/*.jsonl" if storage.is_archive(url) else ""
    raise MissingInput(f"cannot tell what {url!r} holds: its name must end in one of {', '.join(_FORMATS)}{hint}")


@contextmanager
def _whole(url: str) -> Iterator[None]:
    """A file that breaks off or is not what its name says ends the run before any work: name it."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, UnicodeDecodeError) as error:
        raise MissingInput(f"{url!r} is not a whole {_suffix(url)} file: {error}; fetch it again") from error
