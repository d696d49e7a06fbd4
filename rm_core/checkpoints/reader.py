"""One complete checkpoint: ranges of parameters, joined out of the files of however many ranks wrote it."""

import os
import shutil
import tempfile
from functools import cached_property
from types import TracebackType
from typing import Any, Self

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from data_pipeline.errors import CorruptData, MissingInput
from data_pipeline.storage import is_local, join, open_input, read_bytes, sha256_of, size_of
from rm_core.checkpoints.fragments import sources_of
from rm_core.checkpoints.layout import DATA, RECORD, Marker, PartRecord, parsed, part_stem

__all__ = ["Checkpoint"]

_CHUNK_BYTES = 1 << 24


class Checkpoint:
    """Reads; a context manager that closes its files and deletes its copies.

    Every file is compared with its sha256 before its first use. Made by `CheckpointStore.open`.
    """

    def __init__(self, url: str, marker: Marker, *, rank: int, copies: str) -> None:
        self.url = url
        self.step = marker.step
        self.world_size = marker.world_size
        self.facts = marker.facts
        self._marker = marker
        self._rank = rank
        self._copies = copies
        self._folder: str | None = None
        self._records: dict[int, PartRecord] = {}
        self._files: dict[int, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._files.clear()
        if self._folder is not None:
            shutil.rmtree(self._folder)

    def read(self, kind: str, name: str, start: int, numel: int) -> Tensor:
        """Elements `start` to `start` + `numel` of the flat parameter `name`, float32 [numel].

        Raises:
            CorruptData: a part is missing or damaged, or nobody kept these elements.
        """
        own = self._record(self._rank).fragments.get(name) if self._rank < self.world_size else None
        if own is not None and own[0] <= start and start + numel <= own[0] + own[1]:
            return self._values(self._rank, f"{kind}/{name}", start - own[0], numel)
        found = torch.empty(numel)
        try:
            sources = sources_of(self._held.get(name, []), start, numel)
        except ValueError as error:
            raise CorruptData(f"{self.url!r} misses a part of {name!r}: {error}") from error
        for source in sources:
            values = self._values(source.rank, f"{kind}/{name}", source.offset, source.numel)
            found[source.at : source.at + source.numel] = values
        return found

    def of_rank(self) -> dict[str, Tensor] | None:
        """What the reader's rank kept beside parameters; None where another number of ranks wrote."""
        file = self._file(self._rank) if self._rank < self.world_size else None
        if file is None:
            return None
        return {key.removeprefix("rank/"): file.get_tensor(key) for key in file.keys() if key.startswith("rank/")}  # noqa: SIM118

    def verify(self) -> None:
        """Read every file against its sha256.

        Raises:
            CorruptData: names the first that differs.
        """
        for rank in range(self.world_size):
            self._file(rank)

    @cached_property
    def _held(self) -> dict[str, list[tuple[int, int, int]]]:
        """Parameter -> (start, numel, rank) of its fragments, sorted."""
        held: dict[str, list[tuple[int, int, int]]] = {}
        for rank in range(self.world_size):
            for name, (start, numel) in self._record(rank).fragments.items():
                held.setdefault(name, []).append((start, numel, rank))
        return {name: sorted(fragments) for name, fragments in held.items()}

    def _values(self, rank: int, key: str, offset: int, numel: int) -> Tensor:
        try:
            values: Tensor = self._file(rank).get_slice(key)[offset : offset + numel]
        except SafetensorError as error:
            raise CorruptData(f"{self._url(rank, DATA)!r} has no {key!r}: {error}") from error
        return values

    def _record(self, rank: int) -> PartRecord:
        if rank not in self._records:
            url = self._url(rank, RECORD)
            self._check(url, None, self._marker.records[rank])
            record = parsed(PartRecord, read_bytes(url), url)
            if (record.rank, record.attempt) != (rank, self._marker.attempt):
                raise CorruptData(f"{url!r} is of rank {record.rank} in another attempt")
            self._records[rank] = record
        return self._records[rank]

    def _file(self, rank: int) -> Any:
        if rank not in self._files:
            record, url = self._record(rank), self._url(rank, DATA)
            path = url if is_local(url) else self._copy(url)
            self._check(path, record.bytes, record.sha256)
            self._files[rank] = safe_open(path, framework="pt")
        return self._files[rank]

    def _copy(self, url: str) -> str:
        if self._folder is None:
            os.makedirs(self._copies, exist_ok=True)
            self._folder = tempfile.mkdtemp(prefix="checkpoint-", dir=self._copies)
        path = os.path.join(self._folder, url.rpartition("/")[2])
        try:
            with open_input(url) as source, open(path, "wb") as target:
                shutil.copyfileobj(source, target, _CHUNK_BYTES)
        except MissingInput as error:
            raise CorruptData(f"{url!r} is gone from a complete checkpoint") from error
        return path

    def _check(self, url: str, num_bytes: int | None, sha256: str) -> None:
        try:
            found = size_of(url)
            if num_bytes is not None and found != num_bytes:
                raise CorruptData(f"{url!r} has {found:,} bytes where {num_bytes:,} were written")
            if sha256_of(url) != sha256:
                raise CorruptData(f"{url!r} holds other bytes than were written: its sha256 differs")
        except MissingInput as error:
            raise CorruptData(f"{url!r} is gone from a complete checkpoint") from error

    def _url(self, rank: int, ending: str) -> str:
        return join(self.url, part_stem(rank, self.world_size) + ending)
