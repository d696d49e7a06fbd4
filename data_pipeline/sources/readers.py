"""Files to raw records, by row range: .jsonl, .jsonl.gz, .json (one list) and .parquet.

A range is what one work unit reads. For plain .jsonl it carries the byte offset of its first line, so that a unit
seeks instead of reading everything before it; .jsonl.gz is decompressed up to the range, .json is parsed whole,
.parquet reads the row groups that the range touches.
"""

import gzip
import json
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline import storage
from data_pipeline.errors import MissingInput, RecordError

__all__ = ["RowRange", "count_rows", "read_rows", "split_rows"]

RawRecord = dict[str, Any]

_PARQUET_BATCH_ROWS = 64  # rows may embed images of some megabytes
_SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")


@dataclass(frozen=True)
class RowRange:
    """Rows [start, start + count) of one file; `offset` is the byte where row `start` begins (plain .jsonl, else 0)."""

    start: int
    count: int
    offset: int = 0


def count_rows(url: str) -> int:
    """Rows of the file, without parsing records; for JSON lines the number of lines, blank ones included.

    Raises:
        MissingInput: the file is not there, cannot be read to its end, or has an unknown suffix.
    """
    with _whole(url):
        if _suffix(url) == ".parquet":
            with storage.open_input(url) as file:
                return int(pq.read_metadata(file).num_rows)
        if _suffix(url) == ".json":
            return len(_load_list(url))
        with _open_lines(url) as file:
            return sum(1 for _ in file)


def split_rows(url: str, rows_per_range: int) -> list[RowRange]:
    """The file cut into ranges of at most `rows_per_range` rows: 600 rows by 256 -> 256 + 256 + 88.

    Raises:
        MissingInput: as for `count_rows`.
    """
    if rows_per_range < 1:
        raise ValueError(f"rows_per_range must be at least 1, got {rows_per_range}")
    if _suffix(url) == ".jsonl":
        return _split_lines(url, rows_per_range)
    rows = count_rows(url)
    return [RowRange(start, min(rows_per_range, rows - start)) for start in range(0, rows, rows_per_range)]


def read_rows(
    url: str, start: int = 0, count: int | None = None, offset: int = 0
) -> Iterator[tuple[int, RawRecord | RecordError]]:
    """Yield (row number, raw record) for rows [start, start + count) of the file.

    A row that is no JSON object comes as a RecordError with reason ``"malformed_record"`` in place of the record.
    Blank lines are skipped, and still count as rows.

    Args:
        url: the file.
        start: first row, from 0.
        count: how many rows; None: all that follow.
        offset: the byte where row `start` begins, as `split_rows` gives it; 0: not known.

    Raises:
        MissingInput: as for `count_rows`.
    """
    with _whole(url):
        if _suffix(url) == ".parquet":
            yield from _read_parquet(url, start, count)
        elif _suffix(url) == ".json":
            records = _load_list(url)[start : None if count is None else start + count]
            yield from ((start + i, _as_object(record)) for i, record in enumerate(records))
        else:
            yield from _read_lines(url, start, count, offset)


def _suffix(url: str) -> str:
    for suffix in _SUFFIXES:
        if url.endswith(suffix):
            return suffix
    raise MissingInput(f"cannot tell what {url!r} holds: its name must end in one of {', '.join(_SUFFIXES)}")


@contextmanager
def _open_lines(url: str) -> Iterator[BinaryIO]:
    with storage.open_input(url) as file:
        if not url.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(fileobj=file) as unpacked:
            yield cast(BinaryIO, unpacked)


def _split_lines(url: str, rows_per_range: int) -> list[RowRange]:
    ranges: list[RowRange] = []
    with _open_lines(url) as file:
        start, offset = 0, 0
        while lines := list(islice(file, rows_per_range)):
            ranges.append(RowRange(start, len(lines), offset))
            start += len(lines)
            offset += sum(map(len, lines))
    return ranges


def _read_lines(url: str, start: int, count: int | None, offset: int) -> Iterator[tuple[int, RawRecord | RecordError]]:
    with _open_lines(url) as file:
        if offset:
            file.seek(offset)
        skip = 0 if offset else start
        stop = None if count is None else skip + count
        for row, line in enumerate(islice(file, skip, stop), start):
            if line.strip():
                yield row, _parse_line(line)


def _parse_line(line: bytes) -> RawRecord | RecordError:
    try:
        text = line.decode("utf-8-sig")  # some sets begin with a byte order mark
        record = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(record, ensure_ascii=False).encode()  # half a surrogate pair is no text: refuse it here
    except (ValueError, RecursionError) as error:
        return RecordError("malformed_record", f"{type(error).__name__}: {error}")
    return _as_object(record)


def _as_object(record: object) -> RawRecord | RecordError:
    if isinstance(record, dict):
        return record
    return RecordError("malformed_record", f"expected a JSON object, got {type(record).__name__} {str(record)[:80]!r}")


def _load_list(url: str) -> list[Any]:
    try:
        records = json.loads(storage.read_bytes(url))
    except RecursionError as error:
        raise MissingInput(f"{url!r} is nested too deeply to be a list of records") from error
    if not isinstance(records, list):
        raise MissingInput(
            f"{url!r} holds one {type(records).__name__}, not a list of records; write one record a line"
        )
    return records


def _read_parquet(url: str, start: int, count: int | None) -> Iterator[tuple[int, RawRecord]]:
    with storage.open_input(url) as source, pq.ParquetFile(source) as file:
        total = file.metadata.num_rows
        stop = total if count is None else min(total, start + count)
        first = 0
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            if first < stop and first + rows > start:
                yield from _read_group(file, group, first, start, stop)
            first += rows


def _read_group(file: pq.ParquetFile, group: int, first: int, start: int, stop: int) -> Iterator[tuple[int, RawRecord]]:
    row = first
    for batch in file.iter_batches(batch_size=_PARQUET_BATCH_ROWS, row_groups=[group]):
        low, high = max(start - row, 0), min(stop - row, batch.num_rows)
        if low < high:
            yield from enumerate(batch.slice(low, high - low).to_pylist(), row + low)
        row += batch.num_rows


@contextmanager
def _whole(url: str) -> Iterator[None]:
    """A file that breaks off or is not what its name says ends the run before any work: name it."""
    try:
        yield
    except (EOFError, gzip.BadGzipFile, zlib.error, pa.ArrowInvalid, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MissingInput(f"{url!r} is not a whole {_suffix(url)} file: {error}; fetch it again") from error
