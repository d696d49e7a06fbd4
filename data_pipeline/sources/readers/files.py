"""Files to raw records, by row range: .jsonl, .json (one list), .csv, .tsv (each also .gz) and .parquet.

A range is what one work unit reads. Splitting a file reads it once and notes the byte where each range begins, so that
a unit seeks instead of reading everything before it; a file in gzip is unpacked up to there, .parquet reads the row
groups that the range touches. Memory holds about one record, or one batch of parquet rows, whatever the file's size.
A file may lie on this machine, remote, or in an archive.
"""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from data_pipeline import storage
from data_pipeline.errors import MissingInput
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


class _Format(NamedTuple):
    """A text format: the byte where each row begins, and the rows of a range."""

    scan: Callable[[str], Iterator[int]]
    read: Callable[[str, int, int | None, int], Iterator[Row]]


_LINES, _LIST, _TABLE = _Format(scan_lines, read_lines), _Format(scan_list, read_list), _Format(scan_table, read_table)
_FORMATS = {
    ".jsonl": _LINES,
    ".jsonl.gz": _LINES,
    ".json": _LIST,
    ".json.gz": _LIST,
    ".csv": _TABLE,
    ".csv.gz": _TABLE,
    ".tsv": _TABLE,
    ".tsv.gz": _TABLE,
    ".parquet": None,
}


def count_rows(url: str) -> int:
    """Rows of the file; for JSON lines and tables blank ones included, a table's first line not.

    Raises:
        MissingInput: the file is not there, cannot be read to its end, or has an unknown suffix.
    """
    with _whole(url):
        text_format = _FORMATS[_suffix(url)]
        return count_parquet(url) if text_format is None else sum(1 for _ in text_format.scan(url))


def split_rows(url: str, rows_per_range: int) -> list[RowRange]:
    """The file cut into ranges of at most `rows_per_range` rows: 600 rows by 256 -> 256 + 256 + 88.

    Raises:
        MissingInput: as for `count_rows`.
    """
    if rows_per_range < 1:
        raise ValueError(f"rows_per_range must be at least 1, got {rows_per_range}")
    with _whole(url):
        text_format = _FORMATS[_suffix(url)]
        if text_format is not None:
            return to_ranges(text_format.scan(url), rows_per_range)
        rows = count_parquet(url)
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
        text_format = _FORMATS[_suffix(url)]
        if text_format is None:
            yield from read_parquet(url, start, count)
        else:
            yield from text_format.read(url, start, count, offset)


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
