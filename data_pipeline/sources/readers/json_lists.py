"""A JSON list of records, .json and .json.gz, read piece by piece so that memory holds about one record.

    [{"id": 0, ...}, {"id": 1, ...}]

Splitting parses the file once and keeps the byte where each record begins; reading seeks there. A list has no place to
go on behind a mistake, so a broken one ends the reading of the whole file.

Some published sets (SHP) call JSON lines .json: a file whose first two lines are objects, each whole, is read as those.
"""

import codecs
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO

from data_pipeline.errors import MissingInput
from data_pipeline.sources.readers.streams import (
    MAX_RECORD_BYTES,
    MAX_RECORD_VALUES,
    Row,
    as_record,
    bounded_lines,
    decoded_json,
    is_crowded,
    open_stream,
    read_lines,
    scan_lines,
)

__all__ = ["read_list", "scan_list"]

_PIECE_BYTES = 1 << 20
_NEAR_END = 16  # characters that the longest cut token takes: a pair of \uXXXX escapes, "-Infinity"
_SPACE = re.compile(r"[ \t\n\r]*")
_BEGINNING, _BLANK = 4096, b"\xef\xbb\xbf \t\r\n"


def scan_list(url: str) -> Iterator[int]:
    """The byte where each record begins; the list is read to its end."""
    if _holds_lines(url):
        yield from scan_lines(url)
        return
    with open_stream(url) as file:
        for offset, _, _ in _elements(_Window(file, url, 0), is_first=True):
            yield offset


def read_list(url: str, start: int, count: int | None, offset: int) -> Iterator[Row]:
    """Rows [start, start + count), row `start` at byte `offset` unless that is 0."""
    if _holds_lines(url):
        yield from read_lines(url, start, count, offset)
        return
    with open_stream(url, offset) as file:
        skip = 0 if offset else start
        stop = None if count is None else skip + count
        elements = _elements(_Window(file, url, offset), is_first=not offset)
        for row, (_, value, text) in enumerate(islice(elements, skip, stop), start):
            yield row, as_record(value, text)


def _holds_lines(url: str) -> bool:
    """Whether the file is JSON lines: one object alone, which may be an index of files, is not taken for a line."""
    with open_stream(url) as file:
        if not file.read(_BEGINNING).lstrip(_BLANK).startswith(b"{"):  # a list may be one line of any length
            return False
        file.seek(0)
        lines = (line for _, line in bounded_lines(file) if line is None or line.strip())
        return _is_object(next(lines, None)) and _is_object(next(lines, None))


def _is_object(line: bytes | None) -> bool:
    if line is None or is_crowded(line):
        return False
    try:
        return isinstance(json.loads(line.decode("utf-8-sig")), dict)
    except (ValueError, RecursionError):
        return False


class _Window:
    """The part of the file that is being parsed, as text; `place` is the next character of it."""

    def __init__(self, file: BinaryIO, url: str, offset: int) -> None:
        self.url = url
        self.text = ""
        self.place = 0
        self.is_end = False
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._offset = offset
        self._counted = 0
        if offset == 0:
            self.fill()
            if self.text.startswith("\ufeff"):
                self.place = 1

    @property
    def offset(self) -> int:
        """The byte of the file at which `place` is."""
        part = self.text[self._counted : self.place]
        self._offset += len(part) if part.isascii() else len(part.encode())
        self._counted = self.place
        return self._offset

    def fill(self) -> None:
        """Drop what lies before `place` and take at least as much again as there still is."""
        left = len(self.text) - self.place
        if left > MAX_RECORD_BYTES:
            raise self.broken(f"a record of more than {MAX_RECORD_BYTES:,} characters")
        if is_crowded(self.text[self.place :]):  # of one record that does not end here: a whole one was taken out
            raise self.broken(f"a record of more than {MAX_RECORD_VALUES:,} values")
        _ = self.offset
        data = self._file.read(max(_PIECE_BYTES, left))
        self.is_end = not data
        self.text = self.text[self.place :] + self._decoder.decode(data, final=not data)
        self.place = self._counted = 0

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            space = _SPACE.match(self.text, self.place)
            assert space is not None
            self.place = space.end()
            if self.place < len(self.text) or self.is_end:
                return self.text[self.place : self.place + 1]
            self.fill()

    def value(self) -> tuple[Any, str]:
        """The JSON value that begins at `place`, and its text."""
        while True:
            try:
                value, end = decoded_json(self.text, self.place)
            except json.JSONDecodeError as error:
                is_cut = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - _NEAR_END
                if self.is_end or not is_cut:
                    raise self.broken(f"{error.msg}") from error
            except RecursionError as error:
                raise MissingInput(f"{self.url!r} is nested too deeply to be a list of records") from error
            else:
                if end < len(self.text) or self.is_end:  # a number at the end may go on
                    text = self.text[self.place : end]
                    self.place = end
                    return value, text
            self.fill()

    def broken(self, what: str) -> MissingInput:
        """The error for a file that is no JSON list from here on."""
        return MissingInput(f"{self.url!r} is not a whole .json file: byte {self.offset:,}: {what}; fetch it again")


def _elements(window: _Window, *, is_first: bool) -> Iterator[tuple[int, Any, str]]:
    """(byte, value, text) of each element, from the list's bracket (`is_first`) or from an element on."""
    if is_first:
        opening = window.peek()
        if opening not in ("[", ""):
            kind = "object" if opening == "{" else "value"
            raise MissingInput(
                f"{window.url!r} holds one {kind}, not a list of records; if it has one record a line, name it .jsonl"
            )
        if not opening:
            raise window.broken("it is empty")
        window.place += 1
        if window.peek() == "]":
            window.place += 1
            _check_end(window)
            return
    while True:
        window.peek()
        offset = window.offset
        value, text = window.value()
        yield offset, value, text
        after = window.peek()
        if after not in (",", "]"):
            raise window.broken(f"expected ',' or ']', got {after!r}")
        window.place += 1
        if after == "]":
            _check_end(window)
            return


def _check_end(window: _Window) -> None:
    if window.peek():
        raise window.broken("something follows the list")
