"""The planning columns of a split: what packing needs to know of every Comparison, as NumPy arrays.

24 bytes a Comparison, its place in the Arrow table included. They are computed from the Arrow columns a piece at a
time, so that a table of many millions of rows that is memory-mapped stays on the disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline.errors import RecipeError

__all__ = ["ArrowIds", "PlanningTable", "num_ordered_pairs", "relative_cost"]

Integers = npt.NDArray[np.integer[Any]]

_ATTENTION_WEIGHT = 1 / 4096
"""At about this length in tokens the quadratic attention of a Comparison costs as much as its linear layers."""
_PATCH_WEIGHT = 0.25
"""A vision patch costs about a quarter of a text token: the tower is smaller, and four patches make one token."""
_PIECE = 1 << 16
"""Rows whose lists are looked at together: what fits into a processor's cache."""
_COLUMNS = ["prefix_length", "response_lengths", "image_patches", "ranks"]


class ArrowIds(Sequence[str]):
    """Ids of rows of an Arrow table, read when they are asked for.

    Args:
        column: the ids of all rows.
        places: int [N], the row of each entry.
    """

    def __init__(self, column: pa.ChunkedArray, places: Integers) -> None:
        self._column = column
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "ArrowIds": ...
    def __getitem__(self, index: int | slice) -> "str | ArrowIds":
        if isinstance(index, slice):
            return ArrowIds(self._column, self._places[index])
        return str(self._column[int(self._places[index])].as_py())


@dataclass(frozen=True)
class PlanningTable:
    """One entry a Comparison that an epoch shows; a Comparison shown twice has two entries.

    Attributes:
        index: int [N], row of `PreparedData`.
        num_tokens: int [N], prefix plus all responses.
        num_patches: int [N], vision patches of all image spans.
        num_pairs: int [N], ordered pairs.
        cost: float [N], relative compute, for balancing ranks.
        ids: the records' ids, for messages.
    """

    index: Integers
    num_tokens: Integers
    num_patches: Integers
    num_pairs: Integers
    cost: npt.NDArray[np.floating[Any]]
    ids: Sequence[str]

    def __len__(self) -> int:
        return len(self.index)

    @classmethod
    def from_rows(cls, rows: pa.Table, index: Integers, *, places: Integers | None = None) -> "PlanningTable":
        """Columns of `rows` (in `data_pipeline.rows.ROWS_SCHEMA`) at `index`; an index may occur several times.

        Args:
            places: int [N], row of `rows` of each entry, where that is not `index` (`PreparedData.all_rows` also
                holds refused rows).
        """
        places = index if places is None else places
        sizes = np.empty((3, len(rows)), dtype=np.int32)
        start = 0
        for batch in rows.select(_COLUMNS).to_batches(max_chunksize=_PIECE):
            sizes[:, start : start + len(batch)] = _sizes_of(batch)
            start += len(batch)
        num_tokens, num_patches, num_pairs = (column[places] for column in sizes)
        cost = np.empty(len(places), dtype=np.float32)
        for start in range(0, len(places), _PIECE):
            piece = slice(start, start + _PIECE)
            cost[piece] = relative_cost(num_tokens[piece], num_patches[piece])
        ids = ArrowIds(rows["id"], places)
        return cls(index.astype(np.int32), num_tokens, num_patches, num_pairs, cost, ids)

    def check_fits(self, *, tokens: int, patches: int) -> None:
        """Refuse a Comparison that alone exceeds a budget of one packed row.

        Raises:
            RecipeError: names the largest one, its size and the budget.
        """
        for name, sizes, limit in (
            ("token_budget", self.num_tokens, tokens),
            ("patch_budget", self.num_patches, patches),
        ):
            largest = int(np.argmax(sizes))
            if int(sizes[largest]) > limit:
                raise RecipeError(
                    f"Comparison {self.ids[largest]!r} needs {int(sizes[largest])} of {name}={limit}: raise {name}, "
                    "or preprocess with a smaller rules.max_tokens or encode.max_pixels"
                )


def relative_cost(num_tokens: Integers, num_patches: Integers) -> npt.NDArray[np.float64]:
    """Compute of a Comparison in units of one text token's linear layers: linear, attention and vision terms."""
    attention = _ATTENTION_WEIGHT * num_tokens.astype(np.float64) ** 2
    cost: npt.NDArray[np.float64] = num_tokens + attention + _PATCH_WEIGHT * num_patches
    return cost


def num_ordered_pairs(ranks: Sequence[int]) -> int:
    """Pairs of responses with different ranks."""
    return sum(a < b for a in ranks for b in ranks)


def _sizes_of(batch: pa.RecordBatch) -> npt.NDArray[np.int64]:
    """Tokens, patches and ordered pairs of each row: [3, rows]."""
    tokens = batch["prefix_length"].to_numpy() + _sum_of_lists(*_lists(batch["response_lengths"]))
    patches = _sum_of_lists(*_lists(batch["image_patches"]))
    return np.stack([tokens, patches, _pairs_of_lists(*_lists(batch["ranks"]))])


def _lists(column: pa.ListArray) -> tuple[Integers, Integers]:
    """Offsets and values of a list column without nulls: list i is values[offsets[i]:offsets[i + 1]]."""
    return column.offsets.to_numpy(), column.values.to_numpy()


def _sum_of_lists(offsets: Integers, values: Integers) -> npt.NDArray[np.int64]:
    values = values[offsets[0] : offsets[-1]]
    running = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends: npt.NDArray[np.int64] = running[offsets - offsets[0]]
    return np.diff(ends)


def _pairs_of_lists(offsets: Integers, ranks: Integers) -> npt.NDArray[np.int64]:
    """Pairs of values that differ, within each list: each value against the next one, the one after, ..."""
    counts = np.diff(offsets)
    ranks, inside = ranks[offsets[0] : offsets[-1]], offsets - offsets[0]
    end_of, place = np.repeat(inside[1:], counts), np.arange(len(ranks), dtype=np.int32)
    differing = np.zeros(len(ranks), dtype=np.int32)
    for distance in range(1, int(counts.max(initial=0))):
        in_list = place[distance:] < end_of[:-distance]
        differing[:-distance] += in_list & (ranks[:-distance] != ranks[distance:])
    return _sum_of_lists(inside, differing)
