"""Columns of the signals table as numpy arrays, whatever the number of chunks they come in."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.dataset.tables import MINHASH_VALUES

__all__ = [
    "Bools",
    "Ints",
    "Lists",
    "chunks_of_lists",
    "coded_lists",
    "codes",
    "indices_in",
    "lists",
    "minhashes",
    "numbers",
    "shares",
]

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Lists:
    """A column of lists: row i is ``values[starts[i]:starts[i + 1]]``.

    Attributes:
        values: [V] the items of all rows.
        starts: int64 [N + 1].
    """

    values: npt.NDArray[Any]
    starts: Ints

    @property
    def counts(self) -> Ints:
        """int64 [N] items of each row."""
        return np.diff(self.starts)

    @property
    def owners(self) -> Ints:
        """int64 [V] the row of each item."""
        return np.repeat(np.arange(len(self.starts) - 1), self.counts)

    def reduced(self, reduce: np.ufunc, empty: int) -> Ints:
        """int64 [N] `reduce` (``np.add``, ``np.maximum``) over each row's numbers; `empty` for a row without any."""
        found = np.full(len(self.starts) - 1, empty, dtype=np.int64)
        filled = self.counts > 0
        if filled.any():
            found[filled] = reduce.reduceat(self.values.astype(np.int64), self.starts[:-1][filled])
        return found

    def of_rows(self, rows: Ints) -> "Lists":
        """The same column with those rows only, in their order."""
        counts = self.counts[rows]
        starts = np.concatenate(([0], np.cumsum(counts)))
        inside = np.arange(starts[-1]) - np.repeat(starts[:-1], counts)
        return Lists(self.values[np.repeat(self.starts[:-1][rows], counts) + inside], starts)


def chunks_of_lists(column: pa.ChunkedArray) -> Iterator[Lists]:
    """A column of lists of numbers, chunk by chunk: the n-grams of all rows together may be large."""
    for chunk in column.chunks:
        yield Lists(chunk.flatten().to_numpy(), _starts(chunk))


def lists(column: pa.ChunkedArray) -> Lists:
    """A whole column of lists of numbers."""
    return Lists(_flat(column).to_numpy(), _starts(column))


def coded_lists(column: pa.ChunkedArray) -> tuple[Lists, pa.StringArray]:
    """A column of lists of strings as lists of codes, and the sorted distinct strings they lead to."""
    values, names = codes(_flat(column))
    return Lists(values, _starts(column)), names


def codes(column: pa.ChunkedArray) -> tuple[Ints, pa.StringArray]:
    """A column of strings as (int64 [N] codes, the sorted distinct strings): smaller string, smaller number."""
    names = pc.unique(column)
    names = names.take(pc.sort_indices(names))
    return indices_in(column, names), names


def indices_in(column: pa.ChunkedArray, names: pa.StringArray) -> Ints:
    """int64 [N] index of each string in `names`; -1 where it is not among them."""
    found = pc.fill_null(pc.index_in(column, value_set=names), -1)
    return np.asarray(found.to_numpy(), dtype=np.int64)


def numbers(column: pa.ChunkedArray) -> npt.NDArray[Any]:
    """[N] a column of numbers."""
    return np.asarray(column.to_numpy())


def minhashes(column: pa.ChunkedArray) -> npt.NDArray[np.uint16]:
    """uint16 [N, 64] a column of signatures."""
    parts = [_signatures(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros((0, MINHASH_VALUES), dtype=np.uint16)


def shares(seed: int, purpose: str, keys: Iterable[str]) -> npt.NDArray[np.float64]:
    """float64 [N] in [0, 1): a place for every key that depends on seed, purpose and key alone.

    `purpose` keeps decisions apart: rows with small numbers for a cap have any numbers for a repeat.
    """
    digests = [hashlib.blake2b(f"{seed}:{purpose}:{key}".encode(), digest_size=8).digest() for key in keys]
    return (np.frombuffer(b"".join(digests), dtype=">u8") >> np.uint64(11)).astype(np.float64) / 2.0**53


def _flat(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return pa.chunked_array([chunk.flatten() for chunk in column.chunks], type=column.type.value_type)


def _starts(column: pa.ChunkedArray | pa.ListArray) -> Ints:
    counts = pc.list_value_length(column).to_numpy()
    return np.concatenate(([0], np.cumsum(counts, dtype=np.int64)))


def _signatures(chunk: pa.FixedSizeBinaryArray) -> npt.NDArray[np.uint16]:
    flat = np.frombuffer(chunk.buffers()[1], dtype="<u2") if len(chunk) else np.zeros(0, dtype="<u2")
    start = chunk.offset * MINHASH_VALUES
    return flat[start : start + len(chunk) * MINHASH_VALUES].reshape(-1, MINHASH_VALUES)
