"""What a stalled group looks like, in words: who is behind, why that may be, what to do. Pure, but for `stacks`."""

import os
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from types import FrameType

from data_pipeline.shown import one_line
from rm_core.training.watchdog.progress import PHASES

__all__ = ["Place", "Seen", "innermost", "stacks", "stall_report"]

_NUM_IDS = 32
_ID_CHARS = 80
_ROW_PHASES = ("loading", "forward", "backward")
_LIBRARIES = tuple(os.sep + os.path.join(*parts) + os.sep for parts in (("torch", "distributed"), ("deepspeed",)))


@dataclass(frozen=True, slots=True)
class Place:
    """What one rank says of itself."""

    rank: int
    host: str
    process: int
    step: int
    row: int
    phase: str
    module: str
    ids: tuple[str, ...]
    idle_s: float
    """Seconds since the training thread advanced, by this rank's own count."""
    beat: int
    """Grows whenever the record is written; a rank whose beat stands still is dead or frozen."""
    code: str
    """The innermost Python lines of the training thread, empty while it advances."""
    in_collective: bool
    """Whether the innermost line is DeepSpeed's or torch.distributed's."""
    error: str
    """The error with which the rank left its training, if it did."""
    reported: bool
    """Whether its watchdog has written its report."""

    @property
    def order(self) -> tuple[int, int, int, int]:
        """Sorts ranks by how far they are."""
        part = 0 if self.phase in ("start", "step mean") else 1 if self.phase in _ROW_PHASES else 2
        return self.step, part, self.row if part < 2 else 0, PHASES.index(self.phase)

    @property
    def left(self) -> bool:
        return self.phase == "ended" or bool(self.error)

    def text(self) -> str:
        module = f" in {self.module}" if self.module else ""
        return f"step {self.step}, row {self.row}, {self.phase}{module}"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one rank knows of another, or of itself."""

    rank: int
    place: Place | None
    """Its newest record; None where it never wrote one."""
    is_frozen: bool
    """Its record stands still."""

    @property
    def is_gone(self) -> bool:
        """Dead, frozen, or out of its training: it will not advance."""
        return self.is_frozen or (self.place is not None and self.place.left)

    @property
    def idle_s(self) -> float:
        return 0.0 if self.place is None else self.place.idle_s


def stall_report(seen: Sequence[Seen], *, rank: int, timeout_s: float, exit_code: int, store_error: str) -> str:
    """The report of `rank`, without its stacks."""
    why = f"no rank has advanced for {timeout_s:g} s (train.stall_timeout_s)"
    lines = [f"watchdog of rank {rank}: {why}; ending with exit code {exit_code}, to start again from a checkpoint"]
    if store_error:
        lines.append(f"the group's store, a thread of the process of rank 0, does not answer: {store_error}")
        lines.append("that process is dead or frozen, or its host is out of reach; this rank knows of itself only")
    lines += _verdict(seen)
    lines.append("where the ranks are:")
    for text, group in groupby(sorted(seen, key=lambda one: (_line(one), one.rank)), key=_line):
        lines.append(f"  {_ranks([one.rank for one in group])}: {text}")
    return "\n".join(lines) + "\n"


def _verdict(seen: Sequence[Seen]) -> list[str]:
    """Who is to blame, where, and the cure."""
    failed = [f"rank {one.rank} failed: {one.place.error}" for one in seen if one.place and one.place.error]
    if failed:
        return [*failed, "cure: see the end of its log"]
    frozen = [line for one in seen if one.is_frozen for line in _frozen(one)]
    if frozen:
        return [*frozen, "cure: see the end of its log, the kernel's log of its host (out of memory), and the network"]
    places = [one.place for one in seen if one.place is not None and not one.place.left]
    if len(places) > 1 and all(place.in_collective for place in places):
        return _no_culprit(places)
    behind = _behind(places)
    return [*(line for place in behind for line in _blamed(place)), *_cure(behind[0])]


def _behind(places: Sequence[Place]) -> list[Place]:
    """The ranks that went least far; those that wait in a collective only where nobody runs code of its own."""
    first = min(place.order for place in places)
    last = [place for place in places if place.order == first]
    running = [place for place in last if not place.in_collective]
    return running or [place for place in places if not place.in_collective] or last


def _frozen(one: Seen) -> list[str]:
    if one.place is None:
        return [f"rank {one.rank} is dead or frozen: it never wrote a record"]
    place = one.place
    return [
        f"rank {one.rank} is dead or frozen (process {place.process} on {place.host}), last seen at {place.text()}",
        f"  last Comparisons: {_ids(place.ids)}",
    ]


def _blamed(place: Place) -> list[str]:
    return [
        f"rank {place.rank} is behind (process {place.process} on {place.host}): {place.text()}",
        f"  last Comparisons: {_ids(place.ids)}",
        f"  its code: {place.code or 'unknown'}",
    ]


def _no_culprit(places: Sequence[Place]) -> list[str]:
    if len({(place.step, place.row, place.phase, place.module) for place in places}) == 1:
        return [
            "every rank waits in the same collective: the network or its library is stuck",
            "cure: check the links between the hosts; run again with NCCL_DEBUG=INFO",
        ]
    return [
        "every rank waits in a collective, at different places: their work differs, such as a module that one skipped",
        "cure: read the stacks of these ranks; under ZeRO-3 every rank has to run the same modules in the same order",
    ]


def _cure(place: Place) -> list[str]:
    if place.phase == "loading":
        cure = "data stall: check the storage and the shard cache's disk, and the reader's threads in its stacks"
    elif place.phase in ("checkpoint", "export", "evaluation", "metrics"):
        cure = f"the {place.phase} hangs: check the storage or server it writes to; if it is only long, raise the limit"
    else:
        cure = "the others wait for it in a collective: its own report has its stacks; try its Comparisons alone"
    return [f"cure: {cure}"]


def _line(one: Seen) -> str:
    if one.place is None:
        return "no record"
    place = one.place
    if place.left:
        return f"left its training at step {place.step}" + (f": {place.error}" if place.error else "")
    if one.is_frozen:
        return f"{place.text()}, dead or frozen"
    return f"{place.text()}, " + ("waits in a collective" if place.in_collective else "runs") + f": {place.code}"


def _ids(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NUM_IDS} more" if len(ids) > _NUM_IDS else ""
    return ", ".join(one_line(name, _ID_CHARS) for name in ids[:_NUM_IDS]) + more if ids else "none yet"


def _ranks(ranks: Sequence[int]) -> str:
    """`[0, 2, 3, 4]` -> `ranks 0, 2-4`."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1][1:] = [rank]
        else:
            runs.append([rank])
    return ("ranks " if len(ranks) > 1 else "rank ") + ", ".join("-".join(map(str, run)) for run in runs)


def innermost(thread: int) -> tuple[str, bool]:
    """The innermost lines of a thread, and whether it waits inside DeepSpeed or torch.distributed.

    On a GPU the backward pass runs in a thread of autograd's that Python does not list: its lines go first.
    """
    frames = sys._current_frames()
    known = {one.ident for one in threading.enumerate() if not isinstance(one, threading._DummyThread)}
    unlisted = [frame for ident, frame in frames.items() if ident not in known and ident != thread]
    found = [*unlisted, *([frames[thread]] if thread in frames else [])]
    if not found:
        return "", False
    waiting = [frame for frame in found if any(part in frame.f_code.co_filename for part in _LIBRARIES)]
    frame = (waiting or found)[0]
    return " < ".join(_callers(frame, 4)), bool(waiting)


def _callers(frame: FrameType | None, count: int) -> list[str]:
    lines: list[str] = []
    while frame is not None and len(lines) < count:
        lines.append(f"{frame.f_code.co_name} ({os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno})")
        frame = frame.f_back
    return lines


def stacks(first: int) -> str:
    """Python stacks of this process, the thread `first` before the others, the watchdog's own left out."""
    names = {one.ident: one.name for one in threading.enumerate()}
    frames = sys._current_frames()
    text = []
    for ident in sorted(frames, key=lambda ident: ident != first):
        name = names.get(ident, "not started by Python")
        if not name.startswith("watchdog"):
            text.append(f"thread {name!r}, innermost last:\n{''.join(traceback.format_stack(frames[ident]))}")
    return "".join(text)
