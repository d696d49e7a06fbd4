"""Tables as text: .csv and .tsv, plain or in gzip; the first line names the fields, and every value is a string.

    id,prompt,chosen,rejected
    7,"What colour
    is the bus?",Red.,Blue.

Quotes are as in RFC 4180: a quoted field may hold line ends and doubled quotes. A .csv whose first line has no comma
is read with the tab or the semicolon that it has. A row that cannot be read is refused as its first line, and reading
goes on with the next line, so that one quote that is never closed costs one row and not all that follow.
"""

import csv
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.sources.readers.streams import MAX_RECORD_BYTES, MAX_RECORD_VALUES, Row, bounded_lines, open_stream

__all__ = ["read_table", "scan_table"]

_MAX_FIELD_CHARS = 1 << 26


def scan_table(url: str) -> Iterator[int]:
    """The byte where each row begins, blank ones included."""
    with open_stream(url) as file:
        table = _Table(file, url)
        for offset, _ in table.rows(file, table.header_bytes):
            yield offset


def read_table(url: str, start: int, count: int | None, offset: int) -> Iterator[Row]:
    """Rows [start, start + count), row `start` at byte `offset` unless that is 0; blank rows are passed over."""
    with open_stream(url) as file:
        table = _Table(file, url)
        begin = offset or table.header_bytes
        file.seek(begin)
        skip = 0 if offset else start
        for row, (_, fields) in enumerate(table.rows(file, begin), start - skip):
            if count is not None and row >= start + count:
                return
            if row >= start and fields != []:
                yield row, fields if isinstance(fields, RecordError) else table.record(fields, row)


class _Table:
    """The header of one file, and how its rows are cut into fields."""

    def __init__(self, file: BinaryIO, url: str) -> None:
        csv.field_size_limit(max(csv.field_size_limit(), _MAX_FIELD_CHARS))  # it is one number for the whole process
        first = file.readline(MAX_RECORD_BYTES).decode("utf-8-sig", "replace")
        self.delimiter = "\t" if url.lower().endswith((".tsv", ".tsv.gz")) else _delimiter(first)
        file.seek(0)
        lines = _Lines(file, 0, self.delimiter)
        try:
            names = next(csv.reader(lines, delimiter=self.delimiter, strict=True), [])
        except csv.Error as error:
            raise MissingInput(f"the first line of {url!r} names no fields: {error}") from error
        if not any(names) or len(set(names)) < len(names) or lines.is_bad:
            raise MissingInput(f"the first line of {url!r} must name each field once, in UTF-8; it has {names}"[:500])
        self.names = names
        self.header_bytes = lines.offset

    def rows(self, file: BinaryIO, offset: int) -> Iterator[tuple[int, list[str] | RecordError]]:
        """(byte, fields) of every row from the byte `offset` on, at which `file` stands."""
        lines = _Lines(file, offset, self.delimiter)
        reader = csv.reader(lines, delimiter=self.delimiter, strict=True)
        while True:
            begin = lines.begin_row()
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                detail = f"{error}; the row begins {lines.first_line()[:80]!r}"
                lines.keep_first()
                yield begin, RecordError("malformed_record", detail)
            else:
                bad = lines.is_bad
                yield begin, RecordError("malformed_record", f"no UTF-8: {str(fields)[:80]!r}") if bad else fields

    def record(self, fields: list[str], row: int) -> dict[str, str] | RecordError:
        """The fields by name, or an error where they are more or fewer than the names."""
        if len(fields) == len(self.names):
            return dict(zip(self.names, fields, strict=True))
        return RecordError(
            "malformed_record",
            f"row {row} has {len(fields)} fields where the first line names {len(self.names)}: {str(fields)[:80]}",
        )


class _Lines:
    """Lines as text for `csv.reader`, with the byte they begin at, and the way back to the row's second line."""

    def __init__(self, file: BinaryIO, offset: int, delimiter: str) -> None:
        self.offset = offset
        self._delimiter = delimiter.encode()
        self._lines = bounded_lines(file)
        self._again: deque[tuple[int, bytes | None]] = deque()
        self.begin_row()

    def begin_row(self) -> int:
        """A new row begins; the byte at which it does."""
        self._row: list[tuple[int, bytes | None]] = []
        self._row_bytes = 0
        self.is_bad = False
        return self.offset

    def first_line(self) -> str:
        """The row's first line, for an error."""
        line = self._row[0][1] if self._row else None
        return (line or b"").decode("utf8", "backslashreplace")

    def keep_first(self) -> None:
        """End the row with its first line: the others are read again."""
        self._again.extendleft(reversed(self._row[1:]))
        self.offset -= sum(num_bytes for num_bytes, _ in self._row[1:])

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        item = self._again.popleft() if self._again else next(self._lines)
        is_first = self.offset == 0
        self._row.append(item)
        self.offset += item[0]
        self._row_bytes += item[0]
        if item[1] is None or self._row_bytes > MAX_RECORD_BYTES:
            raise csv.Error(f"a row of {self._row_bytes:,} bytes or more, above {MAX_RECORD_BYTES:,}")
        if len(self._row) > MAX_RECORD_VALUES or item[1].count(self._delimiter) > MAX_RECORD_VALUES:
            raise csv.Error(f"a row of more than {MAX_RECORD_VALUES:,} lines or fields")
        try:
            return item[1].decode("utf-8-sig" if is_first else "utf8")
        except UnicodeDecodeError:
            self.is_bad = True
            return item[1].decode("utf8", "replace")


def _delimiter(first_line: str) -> str:
    return next((mark for mark in (",", "\t", ";") if mark in first_line), ",")
