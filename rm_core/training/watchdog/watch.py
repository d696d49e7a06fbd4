"""The watchdog of one rank: when a stall is one, and what then happens."""

import os
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from rm_core.model.reward_model import RewardModel
from rm_core.training.watchdog.exchange import Exchange, RecordStore, group_store
from rm_core.training.watchdog.progress import ModuleTrail, Phase, Progress
from rm_core.training.watchdog.report import Place, Seen, innermost, stacks, stall_report

__all__ = ["STALLED_EXIT_CODE", "Watchdog"]

STALLED_EXIT_CODE = os.EX_TEMPFAIL
"""75, sysexits.h's "temporary failure, try again": a process that ended by its watchdog's hand."""

_REPORT_S = 10.0
"""Seconds that a handed-in `report` may take before the process ends without it."""
_LINGER_S = 30.0
"""Seconds that a living rank is waited for until it has reported: the end of one breaks the collectives of the rest."""
_RECORDS_PER_S = 64
"""Records that a rank reads a second at most, all from one server: with more ranks, the ticks get longer."""


class Watchdog:
    """Watches one rank's training thread; a context manager around the loop, made on every rank.

    The group counts as stalled once no rank has advanced for `timeout_s`: a rank that waits for a slow but living one
    is left alone. Each rank then writes its report to stderr, hands it to `report` and ends with `STALLED_EXIT_CODE`.
    A rank that is stopped, dead or stuck with the interpreter's lock held is named by the others. A rank whose
    collective breaks because a stalled one has left ends with the same code.

    On a GPU the training thread runs ahead of the kernels: a rank that waits in a collective is found at its next
    synchronisation, behind the module that hangs. A rank that stays away in Python is named exactly.

    Args:
        model: its modules are named; to be handed in after the engine was made (see `ModuleTrail`).
        timeout_s: seconds without an advance; 0 switches everything off.
        report: gets the text on every rank, after stderr.
        store: one that all ranks share; a connection of our own to the process group's, unless given.

    Raises:
        RunError: the group's own timeout is below `timeout_s`.
    """

    def __init__(
        self,
        model: RewardModel,
        *,
        timeout_s: float,
        rank: int,
        world_size: int,
        report: Callable[[str], None],
        store: RecordStore | None = None,
    ) -> None:
        self._model = model
        self._timeout_s = timeout_s
        self._rank = rank
        self._world_size = world_size
        self._report = report
        self._store = group_store(timeout_s) if store is None and timeout_s > 0 and world_size > 1 else store
        self._interval_s = max(min(1.0, timeout_s / 8), world_size / _RECORDS_PER_S)
        self._frozen_s = max(5.0, 4 * self._interval_s)
        self._progress = Progress()
        self._idle_s = 0.0
        self._error = ""
        self._reported = False
        self._closed = threading.Event()
        self._trail: ModuleTrail | None = None
        self._exchange: Exchange | None = None

    def enter(
        self, phase: Phase, *, step: int | None = None, row: int | None = None, ids: Sequence[str] | None = None
    ) -> None:
        """The training thread begins `phase`. A new `step` begins at row 0; what is left out stays as it was."""
        self._progress.enter(phase, step, row, ids)

    def advance(self, what: str) -> None:
        """The training thread has come to another part of its phase, which a report names as it names a module."""
        self._progress.at(what)

    def __enter__(self) -> Self:
        self.enter("start")
        if self._timeout_s > 0:
            self._trail = ModuleTrail(self._model, self._progress)
            if self._store is not None:
                self._exchange = Exchange(
                    self._store,
                    self._place,
                    lambda: self._idle_s >= self._timeout_s / 2 or bool(self._error),
                    world_size=self._world_size,
                    interval_s=self._interval_s,
                    frozen_s=self._frozen_s,
                )
            threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed.set()
        self._error = "" if kind is None else f"{kind.__name__}: {error}"
        self.enter("ended")
        if self._trail is not None:
            self._trail.remove()
        if self._exchange is not None:
            self._exchange.close()
            if error is not None:
                self._leave_if_another_stalled(self._exchange, error)

    def _leave_if_another_stalled(self, exchange: Exchange, error: BaseException) -> None:
        stalled = [one.rank for one in exchange.seen() if one.rank != self._rank and one.place and one.place.reported]
        if stalled:
            traceback.print_exception(error)
            sys.stderr.write(
                f"watchdog of rank {self._rank}: that is what is left of a stall, see the report of rank {stalled[0]}; "
                f"ending with exit code {STALLED_EXIT_CODE}, to start again from a checkpoint\n"
            )
            sys.stderr.flush()
            os._exit(STALLED_EXIT_CODE)

    def _watch(self) -> None:
        """Count idle seconds by short ticks, so that a process that was itself stopped is not blamed on waking."""
        advances, last_s = -1, time.monotonic()
        while not self._closed.wait(self._interval_s / 2):
            now_s, now_advances = time.monotonic(), self._progress.advances
            idle_s = self._idle_s + min(now_s - last_s, self._interval_s) if now_advances == advances else 0.0
            advances, last_s, self._idle_s = now_advances, now_s, idle_s
            if idle_s >= self._timeout_s and self._is_stalled():
                self._end()

    def _is_stalled(self) -> bool:
        """Whether every other rank stands still too, as far as it can be known."""
        if self._exchange is None or self._exchange.error:
            return True
        seen = self._exchange.seen()
        return bool(seen) and all(one.is_gone or one.idle_s >= self._timeout_s for one in seen)

    def _end(self) -> None:
        """Report, and leave when the other living ranks have reported too: rank 0's end would take the store along."""
        error = "" if self._exchange is None else self._exchange.error
        own = Seen(self._rank, self._place(), is_frozen=False)
        others = [] if self._exchange is None or error else self._exchange.seen()
        text = stall_report(
            [own, *(one for one in others if one.rank != self._rank)],
            rank=self._rank,
            timeout_s=self._timeout_s,
            exit_code=STALLED_EXIT_CODE,
            store_error=error,
        )
        self._publish(f"{text}stacks of rank {self._rank}:\n{stacks(self._progress.thread)}")
        end_s = time.monotonic() + _LINGER_S
        while self._exchange is not None and not self._exchange.error and time.monotonic() < end_s:
            if all(one.is_gone or (one.place and one.place.reported) for one in self._exchange.seen()):
                break
            time.sleep(self._interval_s / 4)
        os._exit(STALLED_EXIT_CODE)

    def _publish(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()
        self._reported = True
        report = threading.Thread(target=self._report, args=(text,), name="watchdog report", daemon=True)
        report.start()
        report.join(_REPORT_S)  # whoever gets it may hang for the same reason as the training

    def _place(self, beat: int = 0) -> Place:
        progress = self._progress
        code, waits = innermost(progress.thread) if self._idle_s >= self._timeout_s / 2 else ("", False)
        return Place(
            rank=self._rank,
            host=socket.gethostname(),
            process=os.getpid(),
            step=progress.step,
            row=progress.row,
            phase=progress.phase,
            module=progress.module,
            ids=progress.ids,
            idle_s=self._idle_s,
            beat=beat,
            code=code,
            in_collective=waits,
            error=self._error,
            reported=self._reported,
        )
