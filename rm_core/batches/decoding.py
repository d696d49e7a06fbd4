"""Comparisons to packed rows ahead of the training step: by a thread, or by worker processes.

    submit(indices) -> [worker process: read, decode, resize, collate -> shared memory] -> thread: pin -> PackedBatch

Decoding releases the interpreter lock and the small steps around it do not: a thread is enough for a small model, and
worker processes keep the lock free where a step is short. Tensors come back through shared memory, not copied.
"""

import logging
import multiprocessing.connection
import os
import shutil
import signal
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch
import torch.multiprocessing
from torch import Tensor

from data_pipeline.encoding.encoder import EncodedComparison, VisionSpan
from data_pipeline.errors import RecordError, RunError
from data_pipeline.storage import patience, wait_for_stores
from rm_core.batches.packed import PackedBatch, collate
from rm_core.batches.pixels import patches_of
from rm_core.batches.positions import RowFormat
from rm_core.batches.tensors import map_tensors, num_bytes

__all__ = ["Comparisons", "Decoder"]

_logger = logging.getLogger(__name__)
_SHARED_MEMORY = "/dev/shm"  # noqa: S108  # where Linux keeps POSIX shared memory


class Comparisons(Protocol):
    """Anything that gives encoded Comparisons by row: a `PreparedData`, or a list in a test."""

    def encoded(self, index: int) -> EncodedComparison:
        """Row `index`."""
        ...

    def prefetch(self, indices: npt.NDArray[np.integer[Any]]) -> None:
        """These rows will be asked for soon; returns at once."""
        ...


class Decoder:
    """Makes packed rows in the background, in the order asked for; a context that ends its thread and processes.

    Args:
        data: picklable where there are worker processes; each opens it for itself.
        row_format: of the backbone that will read the rows.
        num_workers: processes; 0: one thread of this process.
    """

    def __init__(self, data: Comparisons, *, row_format: RowFormat, num_workers: int) -> None:
        self._data = data
        self._row_format = row_format
        self._pin = torch.cuda.is_available()
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="pack")
        self._processes = None
        if num_workers:
            # Forks of a small server that has imported torch once: a fork of this process, with its threads and maybe
            # CUDA, would not be safe.
            context = torch.multiprocessing.get_context("forkserver")
            context.set_forkserver_preload(["torch", __name__])
            arguments = (data, row_format, patience())
            self._processes = ProcessPoolExecutor(num_workers, context, _begin_worker, arguments)

    def submit(self, indices: Sequence[int]) -> Future[PackedBatch]:
        """The packed row of these Comparisons.

        The future raises RunError where a Comparison cannot be read (it is named), and where a worker died.
        """
        if self._processes is None:
            return self._thread.submit(self._load, indices)
        try:
            made = self._processes.submit(_work, indices)
        except BrokenProcessPool as error:
            raise _death(error) from error
        return self._thread.submit(self._collect, made)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Drop what waits, let what is being made come to its end, and end thread and processes."""
        self._thread.shutdown(wait=False, cancel_futures=True)
        if self._processes is not None:
            self._processes.shutdown(wait=True, cancel_futures=True)
        self._thread.shutdown(wait=True)

    def _load(self, indices: Sequence[int]) -> PackedBatch:
        return self._pinned(_packed(self._data, indices, self._row_format))

    def _collect(self, made: Future[PackedBatch]) -> PackedBatch:
        try:
            return self._pinned(made.result())
        except BrokenProcessPool as error:
            raise _death(error) from error

    def _pinned(self, batch: PackedBatch) -> PackedBatch:
        """In page-locked memory where there is a GPU, which copies from there while it computes."""
        if not self._pin:
            return batch
        pinned: PackedBatch = map_tensors(batch, Tensor.pin_memory)
        return pinned


def _packed(data: Comparisons, indices: Sequence[int], row_format: RowFormat) -> PackedBatch:
    items = [data.encoded(index) for index in indices]
    owner = {span.key: item.id for item in items for span in item.images}

    def load(span: VisionSpan) -> npt.NDArray[np.float32]:
        try:
            return patches_of(span)
        except RecordError as error:
            raise RunError(f"Comparison {owner[span.key]!r}: image or video {span.key}: {error}") from error

    return collate(items, row_format=row_format, load_image=load)


def _death(error: BrokenProcessPool) -> RunError:
    return RunError(
        f"a loader worker died ({error}): most often the system ended it because memory ran out; look at the system's "
        "log, and lower train.loader_workers, train.prefetch or train.patch_budget"
    )


class _Worker:
    """What a worker process holds."""

    data: Comparisons
    row_format: RowFormat


def _begin_worker(data: Comparisons, row_format: RowFormat, patience_s: float) -> None:
    """First thing in a worker: it leaves signals of the terminal to its parent, waits for stores as it does, and ends
    with it.
    """
    wait_for_stores(patience_s, _logger.warning)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    _Worker.data, _Worker.row_format = data, row_format


def _end_with(parent: int) -> None:
    """Wait for the parent's death, of which an idle worker would learn nothing."""
    multiprocessing.connection.wait([parent])
    os._exit(1)


def _work(indices: Sequence[int]) -> PackedBatch:
    batch = _packed(_Worker.data, indices, _Worker.row_format)
    needed = num_bytes(batch)
    # Writing beyond the end of a full tmpfs kills the process without a word.
    if os.path.isdir(_SHARED_MEMORY) and (free := shutil.disk_usage(_SHARED_MEMORY).free) < needed:
        raise RunError(
            f"a packed row needs {needed:,} bytes of shared memory, {_SHARED_MEMORY} has {free:,} left: make it larger "
            "(docker: --shm-size), or set train.loader_workers=0"
        )
    return batch
