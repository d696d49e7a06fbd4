"""Arrow files, as the library `datasets` saves them: record batches, of which those of the asked rows are read.

    headers of the messages -> first row and rows of each batch -> the batches of a range -> Python dicts, some at once

Each message of an Arrow stream is a length, a flatbuffer that says how many rows and bytes follow, and those bytes; a
file in Arrow's other format, for random access, holds the same messages behind a mark of eight bytes. So the rows of a
file are found without its texts and pictures. A batch is checked whole before a row is made of it, since Arrow itself
trusts the numbers in it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from data_pipeline import storage
from data_pipeline.errors import MissingInput
from data_pipeline.sources.readers.parquet_rows import bounded_rows
from data_pipeline.sources.readers.streams import Row

__all__ = ["count_arrow", "read_arrow"]

_FILE_MARK = b"ARROW1\0\0"
_CONTINUES = 0xFFFFFFFF
_MAX_HEADER_BYTES = 1 << 24
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_CURE = "load it with datasets, and save it with to_parquet"


@dataclass(frozen=True)
class _Message:
    """Where one begins, what it is, the rows of a batch, and where the next begins."""

    start: int
    kind: int
    rows: int
    end: int


def count_arrow(url: str) -> int:
    """Rows of the file, from the headers of its messages."""
    with _opened(url) as file:
        return sum(message.rows for message in _messages(url, file))


def read_arrow(url: str, start: int, count: int | None) -> Iterator[Row]:
    """Rows [start, start + count); a row that is too large comes as the error that refuses it."""
    with _opened(url) as file:
        first = 0
        schema: pa.Schema | None = None
        for message in _messages(url, file):
            stop = first + message.rows if count is None else min(first + message.rows, start + count)
            if message.kind == _SCHEMA:
                schema = _schema_at(file, message)
            elif schema is not None and max(start, first) < stop:
                batch = _batch_at(file, message, schema)
                low = max(start - first, 0)
                yield from bounded_rows(batch.slice(low, stop - first - low), first + low)
            first += message.rows
            if count is not None and first >= start + count:
                return


@contextmanager
def _opened(url: str) -> Iterator[Any]:
    """The file, mapped into memory where it is local: a batch of pictures may have gigabytes.

    Raises:
        MissingInput: there is none, or something in it is no Arrow.
    """
    with storage.open_seekable(url) as source:
        try:
            with pa.memory_map(url) if storage.is_local(url) else pa.PythonFile(source, mode="r") as file:
                yield file
        except (pa.ArrowException, OSError) as error:
            raise MissingInput(f"{url!r} is not a whole .arrow file: {error}; fetch it again") from error


def _messages(url: str, file: Any) -> Iterator[_Message]:
    """The schema and the batches, in order.

    Raises:
        MissingInput: a batch is compressed, or texts stand in a dictionary: rare, and their rows can't be counted so.
    """
    size = file.size()
    file.seek(0)
    place = len(_FILE_MARK) if file.read(len(_FILE_MARK)) == _FILE_MARK else 0
    expected = _SCHEMA
    while place < size:
        file.seek(place)
        head = file.read(8)
        mark, length = _number(head, 0, 4), _number(head, 4, 4)
        if mark == _CONTINUES and length == 0 and expected == _BATCH:  # the end of the stream
            return
        if mark != _CONTINUES or not 0 < length <= _MAX_HEADER_BYTES:
            raise pa.ArrowInvalid(f"no message at byte {place}")
        header = file.read(length)
        kind, rows, body, packed = _header(header)
        message = _Message(place, kind, rows, place + 8 + length + body)
        if kind == _DICTIONARY or packed:
            raise MissingInput(f"{url!r} holds {'compressed batches' if packed else 'dictionaries'}: {_CURE}")
        if kind != expected or rows > body or message.end > size:  # a row of texts has four bytes or more
            raise pa.ArrowInvalid(f"a message at byte {place} that can't stand there")
        yield message
        place, expected = message.end, _BATCH
    raise pa.ArrowInvalid("it breaks off")


def _header(data: bytes) -> tuple[int, int, int, bool]:
    """(kind, rows, bytes of the body, whether these are compressed) of a message, from its flatbuffer.

    The tables of Arrow's format: Message has its kind, its header and its body's length at the fields 1 to 3,
    RecordBatch its rows at 0 and its compression at 3.
    """
    message = _number(data, 0, 4)
    kind_at, header_at, body_at = (_field(data, message, number) for number in (1, 2, 3))
    kind = _number(data, kind_at, 1) if kind_at else 0
    body = _number(data, body_at, 8) if body_at else 0
    if kind != _BATCH or not header_at:
        return kind, 0, body, False
    batch = header_at + _number(data, header_at, 4)
    rows_at = _field(data, batch, 0)
    rows = _number(data, rows_at, 8) if rows_at else 0
    return kind, rows, body, _field(data, batch, 3) != 0


def _field(data: bytes, table: int, number: int) -> int:
    """Where a field of a flatbuffer's table stands; 0: it is absent."""
    fields = table - _number(data, table, 4, signed=True)
    if fields < 0 or 4 + 2 * number >= _number(data, fields, 2):
        return 0
    offset = _number(data, fields + 4 + 2 * number, 2)
    return table + offset if offset else 0


def _number(data: bytes, at: int, size: int, *, signed: bool = False) -> int:
    """A whole number of so many bytes, the lowest first."""
    if not 0 <= at <= len(data) - size:
        raise pa.ArrowInvalid("a header that leads out of itself")
    return int.from_bytes(data[at : at + size], "little", signed=signed)


def _schema_at(file: Any, message: _Message) -> pa.Schema:
    file.seek(message.start)
    return pa.ipc.read_schema(pa.ipc.read_message(file))


def _batch_at(file: Any, message: _Message, schema: pa.Schema) -> pa.RecordBatch:
    file.seek(message.start)
    batch = pa.ipc.read_record_batch(pa.ipc.read_message(file), schema)
    batch.validate(full=True)
    return batch
