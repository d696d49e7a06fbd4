"""The attempts at one training, from its first group of workers to its last: ``<output>/attempts.json``.

    coordinator, on the driver's node -> attempts of this driver ---.
    attempts.json, of earlier drivers ------------------------+-> attempts.json -> tags and page of the MLflow run

A driver that is killed leaves what it wrote half a minute before, so that hours and cost are counted over all of them.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace

from data_pipeline.storage import exists, join, read_json, write_atomic
from data_pipeline.watcher import watching

__all__ = ["Attempt", "TrainingRecord"]

FILE = "attempts.json"
WRITE_S = 30.0
DRIVER_KILLED = "the driver was killed"


@dataclass(kw_only=True)
class Attempt:
    """One group of workers."""

    began_s: float
    """Seconds since 1970, when it had room."""
    seconds: float = 0.0
    """From then to its end, start-up too: what a cloud charges for."""
    workers: int = 0
    gpu_type: str = ""
    """As Ray calls it; every worker has one. Empty: on CPUs."""
    nodes: list[str] = field(default_factory=list)
    """Addresses."""
    first_step: int = 0
    """Steps done when it began."""
    last_step: int = 0
    """Steps done when it was last heard of."""
    ended: str = ""
    """Why; empty while it runs."""

    @property
    def gpu_hours(self) -> float:
        """Of all its workers."""
        return self.workers * self.seconds / 3600 if self.gpu_type else 0.0


class TrainingRecord:
    """All attempts at the training in `output`, those of earlier drivers too."""

    def __init__(self, output: str) -> None:
        self._url = join(output, FILE)
        self._earlier = self._read()
        for attempt in self._earlier:
            attempt.ended = attempt.ended or DRIVER_KILLED
        self._own: list[Attempt] = []
        self.cluster: dict[str, str] = {}
        """Tags of the cluster that the attempts of this driver ran on."""

    @property
    def attempts(self) -> Sequence[Attempt]:
        """In the order in which they began."""
        return [*self._earlier, *self._own]

    def updated(self, read: Callable[[], Sequence[Attempt]]) -> AbstractContextManager[None]:
        """In the block, write the attempts of this driver, as `read` returns them, every half minute and at its end."""

        def update() -> None:
            now_s = time.time()
            self._own = [one if one.ended else replace(one, seconds=now_s - one.began_s) for one in read()]
            self.write()

        return watching(update, every_s=WRITE_S, name="attempts", at_end=True)

    def end(self, reason: str) -> None:
        """The last attempt has ended because of `reason`, if nothing else is known."""
        if self._own and not self._own[-1].ended:
            self._own[-1].ended = reason
            self.write()

    def write(self) -> None:
        """Keep it beside the training, and with it what anybody else has written there: costs are never lost."""
        known = {one.began_s for one in self.attempts}
        self._earlier += [one for one in self._read() if one.began_s not in known]
        write_atomic(self._url, json.dumps([asdict(one) for one in self.attempts], indent=2).encode())

    def _read(self) -> list[Attempt]:
        return [Attempt(**one) for one in read_json(self._url, list)] if exists(self._url) else []
