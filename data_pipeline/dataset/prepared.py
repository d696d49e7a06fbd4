"""Finished preprocessing output as a sequence of Comparisons: planning columns at once, content by row on demand."""

import mmap
import sys
from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import Any, BinaryIO, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.dataset.layout import folder_of
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.shard_reader import ShardReader
from data_pipeline.dataset.shards import read_table, table_of
from data_pipeline.dataset.tables import GROUPS_SCHEMA, ROWS_SCHEMA
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.truncate import Cut
from data_pipeline.errors import CorruptData
from data_pipeline.records.comparison import Comparison
from data_pipeline.storage.cache import ShardCache

__all__ = ["PreparedData"]

_Read = TypeVar("_Read")

# What reading a row raises where a column is missing, of another type, has nulls, or where lists and the pictures that
# they name do not fit each other.
_NOT_AS_WRITTEN = (LookupError, ValueError, TypeError, AttributeError, ArithmeticError, pa.ArrowException)

_OPEN_SHARDS = 128
"""Memory-mapped shards kept open; each holds two files."""
_SHARDS_IN_MEMORY = 4
"""Remote shards kept where there is no cache: they are read whole."""


class PreparedData:
    """The kept Comparisons of an output folder, in the order of the plan, cut as filtering decided.

    Opens shards when they are first read and checks their sha256 then, once a process. Pickles as its place and cache.

        >>> data = PreparedData.open("runs/demo/shards")  # doctest: +SKIP
        >>> data.encoded(int(data.split_indices("train")[0])).num_tokens  # doctest: +SKIP
        218

    Attributes:
        folder: the output folder.
        manifest: its manifest.
        all_rows: one row a Comparison made, in `ROWS_SCHEMA`: all that planning needs, refused ones among them.
    """

    def __init__(self, place: str, manifest: Manifest, all_rows: pa.Table, cache: ShardCache | None) -> None:
        self.folder = folder_of(place)
        self.manifest = manifest
        self.all_rows = all_rows
        self._place = place
        self._cache = cache
        self._kept = np.flatnonzero(pc.equal(all_rows["mark"], "").to_numpy()).astype(np.int32)
        self._shard, self._row, self._dropped_turns = (
            _one_chunk(all_rows[name]).to_numpy() for name in ("shard", "row", "dropped_turns")
        )
        lengths = _one_chunk(all_rows["response_lengths"])
        self._length_offsets, self._lengths = lengths.offsets.to_numpy(), lengths.values.to_numpy()
        self._split = _one_chunk(all_rows["split"])
        self._checked: set[int] = set()
        in_memory = cache is None and not storage.is_local(self.folder)
        self._reader = lru_cache(maxsize=_SHARDS_IN_MEMORY if in_memory else _OPEN_SHARDS)(self._open_shard)

    @classmethod
    def open(cls, place: str, cache: ShardCache | None = None) -> "PreparedData":
        """Open a finished folder, or one of its manifests.

        Args:
            place: the folder, or ``FOLDER/manifests/ADDRESS.json`` for what an earlier recipe kept of it.
            cache: where local copies of remote shards are kept; None: they are read into memory.

        Raises:
            MissingInput: it has no manifest: preprocessing has not finished there.
            CorruptData: the planning rows are not those of the manifest.
        """
        manifest = Manifest.read(place)
        url = storage.join(folder_of(place), manifest.rows_file.name)
        rows = read_table(url, manifest.rows_file.sha256)
        _check_columns(rows, ROWS_SCHEMA, url)
        return cls(place, manifest, rows, cache)

    def __len__(self) -> int:
        return len(self._kept)

    def __reduce__(self) -> tuple[Any, tuple[str, ShardCache | None]]:
        return (PreparedData.open, (self._place, self._cache))

    @cached_property
    def groups(self) -> pa.Table | None:
        """The grouped Comparisons, in `GROUPS_SCHEMA`; None where the recipe does not group.

        Raises:
            CorruptData: they are not those of the manifest.
        """
        info = self.manifest.groups_file
        if info is None:
            return None
        url = storage.join(self.folder, info.name)
        groups = read_table(url, info.sha256)
        _check_columns(groups, GROUPS_SCHEMA, url)
        return groups

    @cached_property
    def rows(self) -> pa.Table:
        """The rows of the kept Comparisons, in `ROWS_SCHEMA`. A copy where any was refused: plan with `all_rows`."""
        return self.all_rows if len(self) == len(self.all_rows) else self.all_rows.take(pa.array(self._kept))

    def row_indices(self, indices: npt.NDArray[np.integer[Any]]) -> npt.NDArray[np.int32]:
        """Rows of `all_rows` where some Comparisons stand: int32 [N]."""
        rows: npt.NDArray[np.int32] = self._kept[indices]
        return rows

    def split_indices(self, split: str) -> npt.NDArray[np.int64]:
        """Indices of the Comparisons of "train" or "heldout", ascending: int64 [N]."""
        in_split = pc.equal(self.all_rows["split"], split).to_numpy()
        return np.flatnonzero(in_split[self._kept]).astype(np.int64)

    def epoch_indices(self, split: str) -> npt.NDArray[np.int64]:
        """Indices that an epoch of the split shows, ascending, each as often as filtering repeats it: int64 [N]."""
        indices = self.split_indices(split)
        return np.repeat(indices, _one_chunk(self.all_rows["repeats"]).to_numpy()[self.row_indices(indices)])

    def encoded(self, index: int) -> EncodedComparison:
        """Comparison `index` as tokens, with its images' stored bytes.

        Raises:
            CorruptData: its shard is not the one that was written.
        """
        return self.encoded_row(self._planned_row(index))

    def encoded_row(self, planned: int, *, first_span: int = 0) -> EncodedComparison:
        """The Comparison in row `planned` of `all_rows` as tokens, with the bytes of its images from `first_span` on.

        Raises:
            CorruptData: its shard is not the one that was written.
        """
        inside = slice(self._length_offsets[planned], self._length_offsets[planned + 1])
        cut = Cut(int(self._dropped_turns[planned]), tuple(self._lengths[inside].tolist()))
        return self._read(planned, lambda shard, row, split: shard.encoded(row, cut, split, first_span=first_span))

    def comparison(self, index: int) -> Comparison:
        """Comparison `index` as texts and image bytes, nothing cut, for reports.

        Raises:
            CorruptData: its shard is not the one that was written.
        """
        planned = self._planned_row(index)
        return self._read(planned, ShardReader.comparison)

    def whole(self, index: int) -> EncodedComparison:
        """Comparison `index` as tokens, nothing cut, for reports.

        Raises:
            CorruptData: its shard is not the one that was written.
        """
        planned = self._planned_row(index)
        num_responses = int(self._length_offsets[planned + 1] - self._length_offsets[planned])
        uncut = Cut(0, (sys.maxsize,) * num_responses)
        return self._read(planned, lambda shard, row, split: shard.encoded(row, uncut, split))

    def prefetch(self, indices: npt.NDArray[np.integer[Any]]) -> None:
        """Begin to copy the remote shards of some Comparisons into the cache; nothing to do without one."""
        self.prefetch_rows(self.row_indices(indices))

    def prefetch_rows(self, planned: npt.NDArray[np.integer[Any]]) -> None:
        """As `prefetch`, of rows of `all_rows`."""
        if self._cache is None or storage.is_local(self.folder):
            return
        for shard in dict.fromkeys(self._shard[planned].tolist()):
            for url, size, sha256 in self.manifest.shards[shard].files(self.folder):
                self._cache.prefetch(url, size, sha256)

    def verify(self) -> None:
        """Read every shard against its checksum.

        Raises:
            CorruptData: the first one that differs.
        """
        for shard in self.manifest.shards:
            for url, _, sha256 in shard.files(self.folder):
                read_table(url, sha256)

    def _planned_row(self, index: int) -> int:
        if not 0 <= index < len(self):
            raise IndexError(f"Comparison {index} of {len(self)}")
        return int(self._kept[index])

    def _read(self, planned: int, read: Callable[[ShardReader, int, str], _Read]) -> _Read:
        """What `read` makes of a planned row: of its shard, its row there, and its split."""
        shard, row = int(self._shard[planned]), int(self._row[planned])
        if not (0 <= shard < len(self.manifest.shards) and 0 <= row < self.manifest.shards[shard].num_rows):
            raise CorruptData(f"no row {row} of shard {shard} in {self.folder!r}, though its table of rows names it")
        try:
            return read(self._reader(shard), row, str(self._split[planned].as_py()))
        except _NOT_AS_WRITTEN as error:
            raise CorruptData(
                f"row {row} of shard {shard} in {self.folder!r} is not as it was written ({type(error).__name__}: "
                f"{error}): copy the folder from where it was made, or run the same preprocess there again"
            ) from error

    def _open_shard(self, shard: int) -> ShardReader:
        comparisons, images = (self._table(shard, *file) for file in self.manifest.shards[shard].files(self.folder))
        self._checked.add(shard)
        return ShardReader(comparisons, images)

    def _table(self, shard: int, url: str, size: int, sha256: str) -> pa.Table:
        if self._cache is not None and not storage.is_local(self.folder):
            with self._cache.open(url, size, sha256) as file:  # checked by the cache, which may delete it while mapped
                return _mapped(file, url, is_proven=shard in self._checked)
        # A shard that was closed for others and is opened again is not read whole again.
        unchecked = shard not in self._checked or not storage.is_local(self.folder)
        return read_table(url, sha256 if unchecked else None, is_proven=not unchecked)


def _check_columns(table: pa.Table, schema: pa.Schema, url: str) -> None:
    """Whether it is the table that `schema` says, without a null."""
    for field in schema:
        found = table.schema.get_field_index(field.name)
        if found < 0 or table.schema.field(found).type != field.type or table.column(found).null_count:
            raise CorruptData(
                f"{url!r} has no whole column {field.name!r} of {field.type}: copy it from where it was made, or run "
                "the same preprocess there again"
            )


def _mapped(file: BinaryIO, url: str, *, is_proven: bool) -> pa.Table:
    """The Arrow file, memory-mapped; `url` is for messages."""
    try:
        buffer = pa.py_buffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except ValueError as error:
        raise CorruptData(f"{url!r} is empty: copy it from where it was made") from error
    return table_of(buffer, url, is_proven=is_proven)


def _one_chunk(column: pa.ChunkedArray) -> pa.Array:
    """The column as one array, without a copy where it is one already."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()
