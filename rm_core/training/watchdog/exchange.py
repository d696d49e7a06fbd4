"""Every rank's newest record, by way of the group's store."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import torch.distributed as dist

from data_pipeline.errors import RunError
from rm_core.training.watchdog.report import Place, Seen

__all__ = ["Exchange", "RecordStore", "group_store"]


class RecordStore(Protocol):
    """The part of `torch.distributed.Store` that is used; raises RuntimeError once its server is gone."""

    def set(self, key: str, value: str) -> None: ...
    def check(self, keys: list[str]) -> bool: ...
    def multi_get(self, keys: list[str]) -> list[bytes]: ...


@dataclass(frozen=True, slots=True)
class _Heard:
    place: Place | None
    changed_s: float
    """When its beat last changed, by this rank's clock: clocks of hosts differ."""


class Exchange:
    """A thread that writes this rank's record every `interval_s` and reads the others' while asked to.

    Args:
        place: beat -> this rank's record.
        reading: whether the others' records are wanted.
        frozen_s: a record that stands still for so long belongs to a dead or frozen rank.
    """

    def __init__(
        self,
        store: RecordStore,
        place: Callable[[int], Place],
        reading: Callable[[], bool],
        *,
        world_size: int,
        interval_s: float,
        frozen_s: float,
    ) -> None:
        self._store = store
        self._place = place
        self._reading = reading
        self._world_size = world_size
        self._interval_s = interval_s
        self._frozen_s = frozen_s
        self._heard: dict[int, _Heard] = {}
        self._answered_s = time.monotonic()
        self._error = ""
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog exchange", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Write a last record and end; where the store doesn't answer, the thread is left to the process's end."""
        self._closed.set()
        self._thread.join(self._frozen_s)

    @property
    def error(self) -> str:
        """Why the store is out of reach; empty while it answers."""
        silent_s = time.monotonic() - self._answered_s
        return self._error or (f"silent for {silent_s:.0f} s" if silent_s >= 2 * self._frozen_s else "")

    def seen(self) -> list[Seen]:
        """All ranks in their order; empty before the first reading."""
        now_s = time.monotonic()
        return [
            Seen(rank, one.place, now_s - one.changed_s >= self._frozen_s and not (one.place and one.place.left))
            for rank, one in sorted(self._heard.items())
        ]

    def _run(self) -> None:
        beat = 0
        try:
            while True:
                closing = self._closed.is_set()
                place = self._place(beat := beat + 1)
                self._store.set(_key(place.rank), json.dumps(asdict(place)))
                self._heard = self._read() if self._reading() else {}
                self._answered_s = time.monotonic()
                if closing:
                    return
                self._closed.wait(self._interval_s)
        except RuntimeError as error:  # the errors of torch's stores have no narrower base
            self._error = str(error).splitlines()[0]

    def _read(self) -> dict[int, _Heard]:
        written = [rank for rank in range(self._world_size) if self._is_written(rank)]
        texts = self._store.multi_get([_key(rank) for rank in written])
        places = {rank: _parsed(text) for rank, text in zip(written, texts, strict=True)}
        now_s = time.monotonic()
        heard = {}
        for rank in range(self._world_size):
            place, before = places.get(rank), self._heard.get(rank)
            unchanged = before is not None and _beat(before.place) == _beat(place)
            heard[rank] = before if before is not None and unchanged else _Heard(place, now_s)
        return heard

    def _is_written(self, rank: int) -> bool:
        """Reading a key that nobody wrote would wait for it."""
        before = self._heard.get(rank)
        return (before is not None and before.place is not None) or self._store.check([_key(rank)])


def group_store(timeout_s: float) -> RecordStore:
    """A connection of our own to the process group's store, beside the one that gloo and NCCL use.

    Raises:
        RunError: the group's own timeout is shorter than `timeout_s`.
    """
    store: Any = dist.distributed_c10d._get_default_store()
    group_s = store.timeout.total_seconds()
    if group_s < timeout_s:
        raise RunError(
            f"train.stall_timeout_s={timeout_s:g}, but the process group gives up after {group_s:g} s and would end "
            f"the ranks before the one that hangs is named: lower the one, or hand init_process_group a longer timeout"
        )
    own: RecordStore = store.clone()
    return own


def _key(rank: int) -> str:
    return f"watchdog/{rank}"


def _beat(place: Place | None) -> int:
    return 0 if place is None else place.beat


def _parsed(text: bytes) -> Place:
    fields = json.loads(text)
    return Place(**(fields | {"ids": tuple(fields["ids"])}))
