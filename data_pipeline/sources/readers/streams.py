"""Rows and ranges of files, decompression, lines of bounded length, and the simplest kind of file: JSON lines.

A broken line of .jsonl or .jsonl.gz is refused, and the next one read.
"""

import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any, AnyStr, BinaryIO, cast

from data_pipeline import storage
from data_pipeline.errors import RecordError

__all__ = [
    "MAX_RECORD_BYTES", "MAX_RECORD_VALUES", "RawRecord", "Row", "RowRange", "as_record", "bounded_lines",
    "decoded_json", "is_crowded", "open_stream", "read_lines", "scan_lines", "to_ranges",
]  # fmt: skip

RawRecord = dict[str, Any]
Row = tuple[int, RawRecord | RecordError]

MAX_RECORD_BYTES = 1 << 26
"""A longer record is refused, or ends the reading of a file where no next record can be found. A picture of
`media.max_source_bytes` fits in, written as base64."""
MAX_RECORD_VALUES = 2_000_000
"""A record of more values, or of more commas and brackets in JSON, is refused before it is parsed: as Python objects
an empty one takes 72 bytes, where the file has three."""


@dataclass(frozen=True)
class RowRange:
    """Rows [start, start + count) of one file.

    `offset` is the byte where row `start` begins, counted in the unpacked file; 0: not known, or the file's beginning.
    """

    start: int
    count: int
    offset: int = 0


@contextmanager
def open_stream(url: str, offset: int = 0) -> Iterator[BinaryIO]:
    """The file from its byte `offset` on; what ends in .gz is unpacked, and `offset` counts unpacked bytes."""
    with storage.open_input(url) as file:
        if url.lower().endswith(".gz"):
            with gzip.GzipFile(fileobj=file) as unpacked:
                unpacked.seek(offset)
                yield cast(BinaryIO, unpacked)
        else:
            file.seek(offset)
            yield file


def bounded_lines(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    """(bytes, line) of every line; None for a line longer than `MAX_RECORD_BYTES`, which is passed over."""
    while line := file.readline(MAX_RECORD_BYTES):
        if len(line) < MAX_RECORD_BYTES or line.endswith(b"\n"):
            yield len(line), line
            continue
        total = len(line)
        while not line.endswith(b"\n") and (line := file.readline(1 << 20)):
            total += len(line)
        yield total, None


def is_crowded(text: AnyStr) -> bool:
    """Whether JSON may hold more than `MAX_RECORD_VALUES` values; the marks inside of its strings count too."""
    comma, bracket, brace = (b",", b"[", b"{") if isinstance(text, bytes) else (",", "[", "{")
    if len(text) <= MAX_RECORD_VALUES:
        return False
    return text.count(comma) + text.count(bracket) + text.count(brace) > MAX_RECORD_VALUES


def to_ranges(offsets: Iterable[int], rows_per_range: int) -> list[RowRange]:
    """Ranges of at most `rows_per_range` rows, from the byte where each row begins."""
    starts: list[int] = []
    count = 0
    for offset in offsets:
        if count % rows_per_range == 0:
            starts.append(offset)
        count += 1
    return [
        RowRange(i * rows_per_range, min(rows_per_range, count - i * rows_per_range), offset)
        for i, offset in enumerate(starts)
    ]


class _NamedTwice(ValueError):
    """An object of JSON gives two values to one name: Python would keep the last, and lose the other unseen."""


def _with_each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        name = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise _NamedTwice(f"the field {name[:80]!r} stands twice in one object, so that one value would be lost")
    return found


_STRICT, _LAX = json.JSONDecoder(object_pairs_hook=_with_each_name_once), json.JSONDecoder()


def decoded_json(text: str, place: int) -> tuple[Any, int]:
    """The JSON value at `place`, or the error that refuses it as a record; and where it ends.

    Raises:
        JSONDecodeError, RecursionError: it is no JSON, or not to its end.
    """
    try:
        return _STRICT.raw_decode(text, place)
    except _NamedTwice as error:
        return RecordError("malformed_record", str(error)), _LAX.raw_decode(text, place)[1]


def as_record(value: object, text: str) -> RawRecord | RecordError:
    """`value`, parsed from `text`, where it is a JSON object of proper text; else the error that refuses it."""
    if isinstance(value, RecordError):
        return value
    if not isinstance(value, dict):
        return RecordError(
            "malformed_record", f"expected a JSON object, got {type(value).__name__} {str(value)[:80]!r}"
        )
    if "\\ud" in text or "\\uD" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:  # half a surrogate pair is no text, and could not be written anywhere
            return RecordError("malformed_record", f"{type(error).__name__}: {error}")
    return value


def scan_lines(url: str) -> Iterator[int]:
    """The byte where each line begins, blank lines included."""
    with open_stream(url) as file:
        offset = 0
        for num_bytes, _ in bounded_lines(file):
            yield offset
            offset += num_bytes


def read_lines(url: str, start: int, count: int | None, offset: int) -> Iterator[Row]:
    """Rows [start, start + count), row `start` at byte `offset` unless that is 0; blank lines are passed over."""
    with open_stream(url, offset) as file:
        skip = 0 if offset else start
        stop = None if count is None else skip + count
        for row, (num_bytes, line) in enumerate(islice(bounded_lines(file), skip, stop), start):
            if line is None:
                yield row, RecordError("malformed_record", f"a line of {num_bytes:,} bytes, above {MAX_RECORD_BYTES:,}")
            elif is_crowded(line):
                yield row, RecordError("malformed_record", f"more than {MAX_RECORD_VALUES:,} values in one line")
            elif line.strip():
                yield row, _parse(line)


def _parse(line: bytes) -> RawRecord | RecordError:
    try:
        text = line.decode("utf-8-sig")  # some sets begin with a byte order mark
        record = as_record(_STRICT.decode(text), text)
    except _NamedTwice as error:
        record = RecordError("malformed_record", str(error))
    except (ValueError, RecursionError) as error:
        record = RecordError("malformed_record", f"{type(error).__name__}: {error}")
    if isinstance(record, RecordError):
        record.text = line.decode("utf-8", "backslashreplace").strip("\r\n")
    return record
