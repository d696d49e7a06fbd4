"""Lines of a file to score: what is read of each, and what is written in its place.

    row of the file -> Line(fields, encoded or error) -> one line of JSON with ``rewards``, or with ``error``

Every row gives one line: a blank one too, and one that holds no record, which keeps its text.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from data_pipeline.config import MediaConfig, SourceConfig
from data_pipeline.encoding.encoder import EncodedComparison, Encoder, check_length, check_tokens
from data_pipeline.errors import RecordError
from data_pipeline.media import frames_of, load_medium
from data_pipeline.records.checks import check
from data_pipeline.records.selection import with_frames
from data_pipeline.sources.accounting import UnreadFields
from data_pipeline.sources.readers.files import RowRange, read_rows
from data_pipeline.sources.registry import OF_WRITING, unranked_adapter

__all__ = ["Line", "LineReader", "line_of"]

_OF_AN_EARLIER_RUN = ("rewards", "error", *OF_WRITING)


@dataclass(frozen=True)
class Line:
    """One row of the input.

    Attributes:
        fields: its record as JSON, without what an earlier scoring added.
        encoded: what is scored; None where `error` says why it is not.
    """

    fields: str
    encoded: EncodedComparison | None
    error: str | None

    @property
    def num_bytes(self) -> int:
        """About what it takes of memory."""
        pictures = () if self.encoded is None else self.encoded.pictures
        tokens = 0 if self.encoded is None else self.encoded.num_tokens
        return len(self.fields) + 4 * tokens + sum(len(picture.data) for picture in pictures)


class LineReader:
    """Reads rows of a file as Comparisons without labels, by the same checks as preprocessing.

    Args:
        source: the file, its shape and the names of its fields.
        media_root: the folder that image paths start from and may not leave.
        max_tokens: longest prompt plus longest response.
        needs_critiques: refuse a line that lacks one, where the encoder reads them.

    Raises:
        MissingInput: there is no such shape.
    """

    def __init__(
        self,
        source: SourceConfig,
        media_root: str,
        encoder: Encoder,
        media: MediaConfig,
        max_tokens: int,
        *,
        needs_critiques: bool = True,
    ) -> None:
        self._source = source
        self._media_root = media_root
        self._encoder = encoder
        self._media = media
        self._max_tokens = max_tokens
        self._needs_critiques = needs_critiques
        self._unread = UnreadFields()
        self._adapter = unranked_adapter(source.fields, self._unread, shape=source.shape)

    def lines(self, part: RowRange) -> Iterator[Line]:
        """One for each of the rows [start, start + count)."""
        next_row = part.start
        for row, record in read_rows(self._source.path, part.start, part.count, part.offset):
            yield from self._blank(next_row, row)
            yield self._line(record, row)
            next_row = row + 1
        yield from self._blank(next_row, part.start + part.count)

    def take_unread(self) -> dict[str, int]:
        """How many records had a field that was not read, by the field, since this was asked before."""
        found = dict(self._unread)
        self._unread.clear()
        return found

    def _blank(self, start: int, stop: int) -> Iterator[Line]:
        for row in range(start, stop):
            yield Line(_json({"line": row + 1}), None, "blank_line: it holds no record")

    def _line(self, record: Mapping[str, Any] | RecordError, row: int) -> Line:
        if isinstance(record, RecordError):
            text = {} if record.text is None else {"text": record.text}
            return Line(_json({"line": row + 1, **text}), None, str(record))
        fields = _json({name: value for name, value in record.items() if name not in _OF_AN_EARLIER_RUN})
        try:
            return Line(fields, self._encoded(record, row), None)
        except RecordError as error:
            return Line(fields, None, str(error))

    def _encoded(self, record: Mapping[str, Any], row: int) -> EncodedComparison:
        comparison = self._adapter(record, self._source, row)
        check(comparison, labelled=False)
        if self._needs_critiques:
            self._encoder.check_critiques(comparison)
        root, config = self._media_root, self._media
        if config.videos == "frames":
            comparison = with_frames(comparison, lambda ref: frames_of(ref, root, config).refs)
        encoded = self._encoder.encode(comparison, [load_medium(ref, root, config) for ref in comparison.media])
        check_tokens(comparison, encoded, labelled=False)
        check_length(encoded, self._max_tokens)
        return encoded


def line_of(
    line: Line,
    rewards: Sequence[float] | None,
    more: Mapping[str, Any] = MappingProxyType({}),
    *,
    error: str | None = None,
) -> tuple[str, str | None]:
    """(what is written, ended by a line break, and why it has no rewards or None).

    Args:
        more: fields to write beside the rewards.
        error: why the model gives none.
    """
    error = line.error or error
    if rewards is not None and not all(map(math.isfinite, rewards)):
        error = f"not_finite: the model gives {list(rewards)}; it has diverged, or its weights are damaged"
    said = {"rewards": None, "error": error} if error is not None else {"rewards": list(rewards or ())}
    added = {**said, **more}
    begun = line.fields[:-1] + (", " if len(line.fields) > 2 else "")
    return f"{begun}{_json(added)[1:]}\n", error


def _json(fields: Mapping[str, Any]) -> str:
    """An object as strict JSON in one line."""
    return json.dumps(_plain(fields), ensure_ascii=False, allow_nan=False).encode("utf-8", "backslashreplace").decode()


def _plain(value: Any) -> Any:
    """What JSON can hold of a value of a record: of bytes their number and hash, of times and the like their text.

    NaN and infinity, which no strict reader takes, are null.
    """
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, bytes):
        return {"num_bytes": len(value), "sha256": hashlib.sha256(value).hexdigest()}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
