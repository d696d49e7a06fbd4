"""JSON lines: one object a line, .jsonl and .jsonl.gz. A broken line is refused, and the next one read."""

import json
from collections.abc import Iterator
from itertools import islice

from data_pipeline.errors import RecordError
from data_pipeline.sources.readers.streams import (
    MAX_RECORD_BYTES,
    RawRecord,
    Row,
    as_record,
    bounded_lines,
    open_stream,
)

__all__ = ["read_lines", "scan_lines"]


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
            elif line.strip():
                yield row, _parse(line)


def _parse(line: bytes) -> RawRecord | RecordError:
    try:
        text = line.decode("utf-8-sig")  # some sets begin with a byte order mark
        return as_record(json.loads(text), text)
    except (ValueError, RecursionError) as error:
        return RecordError("malformed_record", f"{type(error).__name__}: {error}")
