"""Parquet files, a few rows at a time: memory holds two batches and the largest data page of each column.

Most writers end a page after a megabyte, but look only every 1024 rows: of images they put a row group into one page.
"""

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data_pipeline import storage
from data_pipeline.errors import MissingInput

__all__ = ["count_parquet", "read_parquet"]

_MAX_BATCH_ROWS = 64
_BATCH_BYTES = 8 << 20
_BUFFER_BYTES = 1 << 20  # a column chunk of embedded images may have some hundred megabytes


def count_parquet(url: str) -> int:
    """Rows of the file, from its footer."""
    with storage.open_seekable(url) as source:
        try:
            return int(pq.read_metadata(source).num_rows)
        except (pa.ArrowException, OSError) as error:
            raise _broken(url, error) from error


def read_parquet(url: str, start: int, count: int | None) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows [start, start + count)."""
    with storage.open_seekable(url) as source:
        try:
            with pq.ParquetFile(source, buffer_size=_BUFFER_BYTES, pre_buffer=False) as file:
                total = file.metadata.num_rows
                stop = total if count is None else min(total, start + count)
                first = 0
                for group in range(file.num_row_groups):
                    rows = file.metadata.row_group(group).num_rows
                    if first < stop and first + rows > start:
                        yield from _read_group(file, group, first, start, stop)
                    first += rows
        except (
            pa.ArrowException,
            OSError,
        ) as error:  # a damaged page is an OSError
            raise _broken(url, error) from error


def _read_group(
    file: pq.ParquetFile, group: int, first: int, start: int, stop: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    info = file.metadata.row_group(group)
    row_bytes = max(info.total_byte_size // max(info.num_rows, 1), 1)
    batch_rows = min(max(_BATCH_BYTES // row_bytes, 1), _MAX_BATCH_ROWS)
    row = first
    for batch in file.iter_batches(batch_size=batch_rows, row_groups=[group], use_threads=False):
        low, high = max(start - row, 0), min(stop - row, batch.num_rows)
        if low < high:
            yield from enumerate(batch.slice(low, high - low).to_pylist(), row + low)
        row += batch.num_rows
        if row >= stop:
            return


def _broken(url: str, error: BaseException) -> MissingInput:
    return MissingInput(f"{url!r} is not a whole .parquet file: {error}; fetch it again")
