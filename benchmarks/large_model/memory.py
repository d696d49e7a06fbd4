"""Bytes that a group of processes holds, pages that several of them share counted once between them (PSS)."""

import re
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

__all__ = ["Peaks", "pss"]

_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)


def pss(pid: int) -> int:
    """Of one process; 0 where it has ended."""
    with suppress(OSError):
        if found := _PSS.search(Path(f"/proc/{pid}/smaps_rollup").read_text()):
            return int(found[1]) * 1024
    return 0


@dataclass
class Peaks:
    """Of the ranks and the processes that they start, by phase.

    Attributes:
        ranks: their process ids.
        warm: the phase in which a tiny model is exported; what its audit holds is taken off from then on.
        less: bytes that do not count, at this moment.
        first: bytes when a phase was first seen.
        most: the largest sum of a phase.
        samples: how often it was looked.
        imports: what a process that a rank starts holds without a model.
    """

    ranks: Sequence[int]
    warm: str
    less: Callable[[], int]
    first: dict[str, int] = field(default_factory=dict)
    most: dict[str, int] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    imports: int = 0

    def watch(self, phase: Callable[[], str], alive: Callable[[], bool], seen: Callable[[str], None]) -> None:
        """Look again and again while `alive`; what is seen across the border of two phases is left out.

        `seen` is told of a phase once its beginning was looked at.
        """
        while alive():
            before = phase()
            found = self._held(before)
            if phase() == before:
                self.first.setdefault(before, found)
                self.most[before] = max(found, self.most.get(before, 0))
                self.samples[before] = self.samples.get(before, 0) + 1
                seen(before)
            time.sleep(0.02)

    def _held(self, phase: str) -> int:
        less = self.less()
        started = [pss(child.pid) for pid in self.ranks for child in _children(pid)]
        if phase == self.warm:
            self.imports = max(self.imports, sum(started))
        return sum(map(pss, self.ranks)) + max(0, sum(started) - self.imports) - less


def _children(pid: int) -> list[psutil.Process]:
    with suppress(psutil.Error):
        found: list[psutil.Process] = psutil.Process(pid).children(recursive=True)
        return found
    return []
