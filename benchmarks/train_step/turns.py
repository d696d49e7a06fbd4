"""A side of `benchmarks.train_step` in a process of its own, which works only in its turns.

One process for ours and one for both references, a case: the peak memory is that of the very steps that are timed.
While one works the other waits, and keeps its memory as a training does: a step in memory that is new takes up to 1.5
times its seconds, on every side. A third process would leave too little memory on a machine of 16 GB. Processes are
forked from one that has only imported, so they begin within a second and hold the same libraries.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

import torch

from benchmarks.train_step.sides import ModelSize, Ours, Reference, Side, Step
from data_pipeline.encoding.encoder import EncodedComparison
from jobs.preprocess.unit_log import peak_memory

__all__ = ["SIDES", "Given", "Steps", "Turn", "Worker", "in_steps", "side_called", "take_turn", "worker"]

SIDES = ("ours", "reference", "grouped")
"""In the order of the tables; "grouped" is the reference given Comparisons by length, in the reference's process."""
STEP_BATCH = 8
"""Comparisons an optimiser step."""
Steps = Sequence[Sequence[EncodedComparison]]
"""Comparisons, optimiser step by step."""
KEEP_MEMORY = "glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=42949672960"
"""Freed memory stays with the process: else each tensor above 32 MB is new pages, whose cost hides what is compared."""
_CONTEXT = multiprocessing.get_context("forkserver")


@dataclass(frozen=True, kw_only=True)
class Given:
    """What each side of one turn is given.

    Attributes:
        ours: steps of Comparisons, or of groups of one prompt.
        reference: steps of the same records apart.
        grouped: the same by length.
    """

    ours: Steps
    reference: Steps
    grouped: Steps

    @property
    def records(self) -> list[EncodedComparison]:
        """All Comparisons apart."""
        return [item for step in self.reference for item in step]

    @property
    def packed(self) -> list[EncodedComparison]:
        """What our side computes."""
        return [item for step in self.ours for item in step]


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Some optimiser steps of one side.

    Attributes:
        peak_bytes: the most memory that the process has held so far, libraries included.
    """

    steps: list[Step]
    peak_bytes: int

    @property
    def seconds(self) -> float:
        return sum(step.prepare_s + step.compute_s for step in self.steps)

    @property
    def cpu_s(self) -> float:
        return sum(step.cpu_s for step in self.steps)


def side_called(name: str, size: ModelSize, token_budget: int) -> Side:
    """The side called `name`, "ours" or "reference"."""
    return Ours(size, token_budget) if name == "ours" else Reference(size)


def in_steps(comparisons: Sequence[EncodedComparison]) -> Steps:
    """Steps of `STEP_BATCH` Comparisons, in the order given."""
    return [comparisons[start : start + STEP_BATCH] for start in range(0, len(comparisons), STEP_BATCH)]


def take_turn(side: Side, steps: Steps) -> Turn:
    """These steps."""
    return Turn(steps=[side.step(step) for step in steps], peak_bytes=peak_memory())


class Worker:
    """The end of the line to a side's process."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def turn(self, steps: Steps) -> Turn:
        """The side's next turn; returns when it is over.

        Raises:
            RuntimeError: its process ended, of a fault that it has printed.
        """
        try:
            self._line.send(steps)
            turn: Turn = self._line.recv()
        except (EOFError, BrokenPipeError) as error:
            raise RuntimeError("the process of one side has ended, see its traceback above") from error
        return turn


@contextmanager
def worker(name: str, size: ModelSize, *, token_budget: int, threads: int) -> Iterator[Worker]:
    """A process for the side called `name`; it ends with the block."""
    os.environ.setdefault("GLIBC_TUNABLES", KEEP_MEMORY)  # read once, when the server of forks starts
    _CONTEXT.set_forkserver_preload(["benchmarks.train_step.sides"])
    ours, theirs = _CONTEXT.Pipe()
    process = _CONTEXT.Process(target=_serve, args=(name, size, token_budget, threads, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield Worker(ours)
    finally:
        ours.close()
        process.join()


def _serve(name: str, size: ModelSize, token_budget: int, threads: int, line: Connection) -> None:
    torch.set_num_threads(threads)
    side = side_called(name, size, token_budget)
    while True:
        try:
            steps = line.recv()
        except EOFError:
            return
        line.send(take_turn(side, steps))
