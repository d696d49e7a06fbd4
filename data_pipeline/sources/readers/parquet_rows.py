"""Parquet files, a few rows at a time, sized by the bytes that they take when they are decoded.

    footer: values of each column -> rows of a batch -> Arrow, long texts still as places in their dictionary
        -> decoded bytes of each row -> refused, or a Python dict, some rows at once

A file of some kilobytes may decode to gigabytes: one long text that each row names by its place in a dictionary, or a
list of millions of zeros in one row. So no row is made that is larger than a record of any other format may be.
Memory holds one batch, the largest data page of each column, and its dictionary. Most writers end a page after a
megabyte, but look only every 1024 rows: of images they put a row group into one page.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from data_pipeline import storage
from data_pipeline.errors import MissingInput, RecordError
from data_pipeline.sources.readers.streams import MAX_RECORD_BYTES, MAX_RECORD_VALUES, Row

__all__ = ["bounded_rows", "count_parquet", "read_parquet"]

_MAX_BATCH_ROWS = 64
_BATCH_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20  # a column chunk of embedded images may have some hundred megabytes
_MAX_LISTED_VALUES = 1 << 26
"""Values that the lists of one column and row group may have together: they could all be one row's."""
_EXPANDED_BYTES = 1 << 27
"""What the texts of one column may take for the rows of a batch, were each the longest of its dictionary."""
_PREFIXED, _PLAIN = "DELTA_BYTE_ARRAY", "PLAIN"
_MAX_PREFIXED_BYTES = 1 << 30
"""The same where each text may repeat the one before; it is not looked at more closely, since it is rare."""
_NEXT_INTEGER, _HEAD_BYTES = 0x15, 16
_TEXTS = ("NONE", "STRING", "JSON", "BSON", "ENUM")
"""Kinds of byte strings that Arrow reads as a dictionary."""


def count_parquet(url: str) -> int:
    """Rows of the file, from its footer."""
    with storage.open_seekable(url) as source:
        try:
            return int(pq.read_metadata(source).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise _broken(url, error) from error


def read_parquet(url: str, start: int, count: int | None) -> Iterator[Row]:
    """Rows [start, start + count); a row that is too large comes as the error that refuses it."""
    with storage.open_seekable(url) as source:
        try:
            footer = pq.read_metadata(source)
            _check_names(url, footer)
            options: dict[str, Any] = {"metadata": footer, "buffer_size": _BUFFER_BYTES, "pre_buffer": False}
            stop = footer.num_rows if count is None else min(footer.num_rows, start + count)
            groups = {group: first for group, first, rows in _groups(footer) if first < stop and first + rows > start}
            options["read_dictionary"] = _with_large_dictionary(source, footer, groups)
            with pq.ParquetFile(source, **options) as file:
                for group, first in groups.items():
                    yield from _read_group(file, group, first, start, stop)
        except (pa.ArrowException, OSError) as error:  # a damaged page is an OSError
            raise _broken(url, error) from error


def _check_names(url: str, footer: pq.FileMetaData) -> None:
    """Refuse a file that gives one name to two columns, or to two fields of a column: one would be lost unseen."""
    paths = Counter(footer.schema.column(place).path for place in range(footer.num_columns))
    if twice := [path for path, count in paths.items() if count > 1]:
        raise MissingInput(f"{url!r} has two columns of the name {twice[0]!r}: give each another name")


def _groups(footer: pq.FileMetaData) -> Iterator[tuple[int, int, int]]:
    """(number, first row, rows) of every row group."""
    first = 0
    for group in range(footer.num_row_groups):
        rows = footer.row_group(group).num_rows
        yield group, first, rows
        first += rows


def _with_large_dictionary(source: Any, footer: pq.FileMetaData, groups: Iterable[int]) -> list[str]:
    """Paths of texts and bytes that could grow beyond memory, were each place in their dictionary replaced by its text.

    The others are read as they are: Arrow keeps all values of a column chunk that it reads as a dictionary.
    """
    found = set()
    for group in groups:
        info = footer.row_group(group)
        for place in range(info.num_columns):
            column, leaf = info.column(place), footer.schema.column(place)
            is_text = leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type in _TEXTS
            at_once = column.num_values if leaf.max_repetition_level else min(column.num_values, _MAX_BATCH_ROWS)
            most = at_once * column.total_uncompressed_size
            if not is_text or not column.has_dictionary_page or most <= _EXPANDED_BYTES:
                continue
            if at_once * _dictionary_bytes(source, column.dictionary_page_offset) > _EXPANDED_BYTES:
                found.add(leaf.path)
    source.seek(0)
    return sorted(found)


def _dictionary_bytes(source: Any, offset: int) -> int:
    """Bytes that the dictionary page at `offset` of the file takes unpacked.

    The page's header is Thrift's compact protocol: its first fields are the kind of page and this size, each a byte
    0x15 (the next field, a 32-bit integer) and a zigzag number of seven bits a byte.
    """
    source.seek(offset)
    head = source.read(_HEAD_BYTES)
    numbers: list[int] = []
    place = 0
    while len(numbers) < 2 and place < len(head) and head[place] == _NEXT_INTEGER:
        value = shift = 0
        place += 1
        while place < len(head):
            value |= (head[place] & 0x7F) << shift
            shift, place = shift + 7, place + 1
            if not head[place - 1] & 0x80:
                break
        numbers.append(value >> 1)
    if len(numbers) < 2:
        raise pa.ArrowInvalid(f"no header of a page at byte {offset}")
    return numbers[1]


def _read_group(file: pq.ParquetFile, group: int, first: int, start: int, stop: int) -> Iterator[Row]:
    info = file.metadata.row_group(group)
    if crowded := _crowded(file, group):
        for row in range(max(start, first), min(stop, first + info.num_rows)):
            yield row, RecordError("malformed_record", crowded)
        return
    row_bytes = max(info.total_byte_size // max(info.num_rows, 1), 1)
    batch_rows = min(max(_BATCH_BYTES // row_bytes, 1), _MAX_BATCH_ROWS)
    row = first
    for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], use_threads=False):
        low, high = max(start - row, 0), min(stop - row, batch.num_rows)
        if low < high:
            yield from bounded_rows(batch.slice(low, high - low), row + low)
        row += batch.num_rows
        if row >= stop:
            return


def _crowded(file: pq.ParquetFile, group: int) -> str:
    """Why no row of the group may be decoded; empty where they may."""
    info, schema = file.metadata.row_group(group), file.metadata.schema
    for place in range(info.num_columns):
        column = info.column(place)
        is_listed = schema.column(place).max_repetition_level > 0
        if is_listed and column.num_values > _MAX_LISTED_VALUES:
            return (
                f"column {column.path_in_schema!r} has {column.num_values:,} values in the lists of {info.num_rows:,} "
                f"rows, above {_MAX_LISTED_VALUES:,}: leave the column out, or write smaller row groups"
            )
        at_once = column.num_values if is_listed else min(column.num_values, _MAX_BATCH_ROWS)
        if _PREFIXED in column.encodings and at_once * column.total_uncompressed_size > _MAX_PREFIXED_BYTES:
            return f"column {column.path_in_schema!r} is {_PREFIXED} and may grow beyond memory: write it {_PLAIN}"
    return ""


def bounded_rows(batch: pa.RecordBatch, first: int) -> Iterator[Row]:
    """(row number from `first`, row) of a batch as Python values, a few megabytes at once; too large ones refused."""
    sizes, values = np.zeros(batch.num_rows, np.int64), np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        column_sizes, column_values = _decoded(column)
        sizes += column_sizes
        values += column_values
    bad = (sizes > MAX_RECORD_BYTES) | (values > MAX_RECORD_VALUES)
    begin = 0
    while begin < batch.num_rows:
        if bad[begin]:
            yield (
                first + begin,
                RecordError(
                    "malformed_record",
                    f"a row of {sizes[begin]:,} bytes and {values[begin]:,} values when decoded, above "
                    f"{MAX_RECORD_BYTES:,} or {MAX_RECORD_VALUES:,}",
                ),
            )
            begin += 1
            continue
        end = begin + 1
        while end < batch.num_rows and not bad[end] and sizes[begin : end + 1].sum() <= _BATCH_BYTES:
            end += 1
        yield from enumerate(batch.slice(begin, end - begin).to_pylist(), first + begin)
        begin = end


Numbers = npt.NDArray[np.int64]


def _decoded(column: pa.Array) -> tuple[Numbers, Numbers]:
    """Bytes that each entry takes when it is decoded, and how many values it has, itself and all inside of it."""
    count = np.ones(len(column), np.int64)
    kind = column.type
    if pa.types.is_dictionary(kind):
        lengths, _ = _decoded(column.dictionary)
        places = column.indices.fill_null(0).to_numpy(zero_copy_only=False)
        found = lengths[places] if len(lengths) else np.zeros(len(column), np.int64)
        return np.where(column.is_null().to_numpy(zero_copy_only=False), 0, found), count
    if pa.types.is_struct(kind):
        parts = [_decoded(part) for part in column.flatten()]
        return sum((size for size, _ in parts), start=0 * count), sum((number for _, number in parts), start=count)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_map(kind):
        return _summed(column, *_decoded(_entries(column)))
    if pa.types.is_fixed_size_list(kind):
        size, number = _decoded(column.flatten())
        each = kind.list_size
        if column.null_count or not each:
            return 0 * count + 8 * each, count + each
        return size.reshape(-1, each).sum(axis=1), count + number.reshape(-1, each).sum(axis=1)
    if _has_length(kind):
        return pc.binary_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64), count
    if isinstance(kind, pa.BaseExtensionType):
        return _decoded(column.storage)
    try:
        return 0 * count + (kind.bit_width + 7) // 8, count
    except ValueError:  # of no fixed width, and of a kind that is rare: all of it could be any one entry's
        return 0 * count + column.nbytes, count


def _has_length(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(test(kind) for test in tests)


def _entries(column: Any) -> pa.Array:
    """All entries of the lists or maps of a column, those of nulls too, from the first entry of its storage on."""
    if pa.types.is_map(column.type):
        return pa.StructArray.from_arrays([column.keys, column.items], names=["key", "value"])
    return column.values


def _summed(column: Any, sizes: Numbers, numbers: Numbers) -> tuple[Numbers, Numbers]:
    """Of each list, from those of all entries."""
    offsets = column.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    totals = [np.concatenate(([0], np.cumsum(part)))[offsets] for part in (sizes, numbers)]
    return np.diff(totals[0]), 1 + np.diff(totals[1])


def _broken(url: str, error: BaseException) -> MissingInput:
    return MissingInput(f"{url!r} is not a whole .parquet file: {error}; fetch it again")
