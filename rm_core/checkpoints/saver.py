"""Saves while the training goes on: one per rank.

training thread   `save`: settle the save before -> copy the state in memory -> start the thread
its thread        write this rank's part (again, while a remote store fails) -> on rank 0: wait for all records of
                  this attempt -> marker -> delete what retention does not keep
training thread   next `save`, or `close`: all ranks agree whether every part was written; where one was not, rank 0
                  stops waiting, and the folder stays without a marker
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tenacity import Retrying, retry_if_exception, stop_before_delay, wait_exponential
from torch import Tensor

from data_pipeline.errors import BaserewardError, CorruptData, MissingInput, NoSpace, RunError
from data_pipeline.storage import delete_folder, escaped, join, list_files, read_bytes, sha256_of, write_atomic
from rm_core.checkpoints.fragments import Fragment
from rm_core.checkpoints.layout import (
    MARKER,
    RECORD,
    Marker,
    PartRecord,
    parsed,
    part_stem,
    step_folder,
    to_bytes,
    write_part,
)
from rm_core.checkpoints.store import CheckpointStore, Retention

__all__ = ["CheckpointSaver", "Snapshot"]

MAX_FAILURES = 3
"""Saves in a row that may fail before the training stops."""
_PAUSE_S, _LONGEST_PAUSE_S = 1.0, 30.0
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What one rank saves; tensors are copied before `save` returns."""

    step: int
    fragments: Iterable[tuple[Fragment, Mapping[str, Tensor]]]
    rank_state: Mapping[str, Tensor]
    """What this rank wants back on the same number of ranks, such as random states."""
    facts: Mapping[str, Any]
    """The same on every rank, JSON."""
    score: float | None = None
    """For the retention rule `best`; lower is better."""


class CheckpointSaver:
    """Writes the checkpoints of one rank.

    Args:
        attempt: a text that only this life of the group has, the same on every rank.
        agree: a collective: whether all ranks say yes.
        report: gets what went wrong, in words.
        retry_s: seconds for which a failing remote store is tried again.
    """

    def __init__(
        self,
        store: CheckpointStore,
        *,
        rank: int,
        world_size: int,
        attempt: str,
        keep: Retention,
        agree: Callable[[bool], bool],
        report: Callable[[str], None],
        retry_s: float = 600.0,
    ) -> None:
        self._store = store
        self._rank = rank
        self._world_size = world_size
        self._attempt = attempt
        self._keep = keep
        self._agree = agree
        self._report = report
        self._retry_s = retry_s
        self._thread: threading.Thread | None = None
        self._part_done = threading.Event()
        self._abort = threading.Event()
        self._error: BaserewardError | OSError | None = None
        self._step = -1
        self.failures = 0
        """Saves in a row that failed, the same on every rank."""

    def save(self, snapshot: Snapshot) -> None:
        """Copy the state and write it in the background; a collective call.

        Raises:
            RunError: `MAX_FAILURES` saves in a row have failed.
        """
        self.settle()
        tensors, fragments = _copied(snapshot)
        self._step = snapshot.step
        self._error = None
        self._part_done.clear()
        self._abort.clear()
        facts = dict(snapshot.facts)
        arguments = (snapshot.step, tensors, fragments, facts, snapshot.score)
        self._thread = threading.Thread(target=self._run, args=arguments, name="checkpoint", daemon=True)
        self._thread.start()

    def settle(self) -> None:
        """Wait until the last save is complete, or has failed on some rank; a collective call. Errors as for `save`."""
        if self._thread is None:
            return
        self._part_done.wait()
        if not self._agree(self._error is None):
            self._abort.set()
        self._thread.join()
        self._thread = None
        complete = self._agree(self._error is None and not self._abort.is_set())
        self.failures = 0 if complete else self.failures + 1
        if self._error is not None:
            self._report(f"checkpoint of step {self._step} failed on rank {self._rank}: {self._error}")
        if not complete and self._rank == 0:
            self._remove(step_folder(self._store.url, self._step))
        if self.failures >= MAX_FAILURES:
            raise self._gave_up(f"{self.failures} checkpoints in a row failed")

    def close(self) -> None:
        """Settle the last save, which has to be complete; a collective call.

        Raises:
            RunError: it is not.
        """
        self.settle()
        if self.failures:
            raise self._gave_up(f"the checkpoint of step {self._step} failed")

    def _gave_up(self, what: str) -> RunError:
        cause = self._error or "another rank says why"
        return RunError(f"{what}, the last in {step_folder(self._store.url, self._step)!r}: {cause}")

    def _run(
        self, step: int, tensors: dict[str, Tensor], fragments: Any, facts: dict[str, Any], score: float | None
    ) -> None:
        folder = step_folder(self._store.url, step)
        try:
            self._write_part(folder, tensors, fragments)
            self._part_done.set()
            if self._rank == 0 and self._all_parts_there(folder):
                self._finish(folder, step, facts, score)
        except (BaserewardError, OSError) as error:
            self._error = error
        finally:
            self._part_done.set()

    def _write_part(self, folder: str, tensors: dict[str, Tensor], fragments: Any) -> None:
        """Again and again while a store fails that may come back; a full disk is no such failure."""
        where = f"checkpoint in {folder!r} on rank {self._rank}"
        again = Retrying(
            retry=retry_if_exception(lambda error: isinstance(error, RunError) and not isinstance(error, NoSpace)),
            stop=stop_before_delay(self._retry_s),
            wait=wait_exponential(_PAUSE_S, max=_LONGEST_PAUSE_S),
            before_sleep=lambda state: self._report(
                f"{where}: {state.outcome and state.outcome.exception()}; trying again in {state.upcoming_sleep:.0f} s"
            ),
            reraise=True,
        )
        again(
            write_part,
            folder, tensors, fragments,
            attempt=self._attempt, rank=self._rank, world_size=self._world_size,
        )  # fmt: skip

    def _all_parts_there(self, folder: str) -> bool:
        """Wait for the records of all ranks; false where a rank has failed."""
        wanted = {part_stem(rank, self._world_size) + RECORD: rank for rank in range(self._world_size)}
        while wanted:
            if self._abort.is_set():
                return False
            for url in list_files(join(escaped(folder), f"*{RECORD}")):
                name = url.rpartition("/")[2]
                if name in wanted and self._is_ours(url):
                    del wanted[name]
            self._abort.wait(_POLL_S if wanted else 0)
        return True

    def _is_ours(self, url: str) -> bool:
        try:
            return parsed(PartRecord, read_bytes(url), url).attempt == self._attempt
        except (CorruptData, MissingInput):
            return False  # of an earlier attempt, which this one writes over

    def _finish(self, folder: str, step: int, facts: dict[str, Any], score: float | None) -> None:
        stems = [part_stem(rank, self._world_size) for rank in range(self._world_size)]
        records = [sha256_of(join(folder, stem + RECORD)) for stem in stems]
        marker = Marker(
            step=step, world_size=self._world_size, attempt=self._attempt, records=records, facts=facts, score=score
        )
        write_atomic(join(folder, MARKER), to_bytes(marker))
        try:
            self._store.prune(self._keep)
        except (BaserewardError, OSError) as error:
            self._report(f"older checkpoints in {self._store.url!r} stay for now: {error}")

    def _remove(self, folder: str) -> None:
        """Give the disk its room back; where even that fails the leftovers stay until the next complete save."""
        try:
            delete_folder(folder, first=MARKER)
        except (BaserewardError, OSError) as error:
            self._report(f"cannot remove what is left of a failed checkpoint in {folder!r}: {error}")


def _copied(snapshot: Snapshot) -> tuple[dict[str, Tensor], dict[str, tuple[int, int]]]:
    tensors = {f"rank/{name}": value.detach().cpu().clone() for name, value in snapshot.rank_state.items()}
    fragments = {}
    for fragment, kinds in snapshot.fragments:
        fragments[fragment.name] = (fragment.start, fragment.numel)
        tensors |= {f"{kind}/{fragment.name}": value.to("cpu", copy=True) for kind, value in kinds.items()}
    return tensors, fragments
