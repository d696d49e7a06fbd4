"""What a trial of a sweep keeps in its folder while it runs: the hours its workers took, and its log."""

import io
import json
import time
from dataclasses import dataclass

from data_pipeline.storage import exists, read_bytes, read_json, write_atomic

__all__ = ["FLUSH_S", "TrialLog", "WorkerHours"]

FLUSH_S = 20.0
"""Both are written down so often."""


@dataclass
class WorkerHours:
    """Hours times workers that a trial has trained for, over all its attempts; kept in its folder.

    Args:
        url: the file.
    """

    url: str

    def __post_init__(self) -> None:
        self.hours: float = read_json(self.url, dict)["worker_hours"] if exists(self.url) else 0.0

    def add(self, workers: int, seconds: float) -> None:
        """So many workers have trained for so long."""
        self.hours += workers * seconds / 3600

    def flush(self) -> None:
        """Write them down."""
        write_atomic(self.url, json.dumps({"worker_hours": self.hours}).encode())


class TrialLog:
    """What the trial says, in its folder; what an earlier attempt said stays in front."""

    def __init__(self, url: str) -> None:
        self.text = io.StringIO()
        self._url = url
        self._before = read_bytes(url).decode() if exists(url) else ""
        self._flushed = 0
        self._flushed_s = time.monotonic()

    def flush(self, *, now: bool = False) -> None:
        """Write it down where there is more, every `FLUSH_S` or `now`."""
        said = self.text.getvalue()
        if len(said) > self._flushed and (now or time.monotonic() - self._flushed_s >= FLUSH_S):
            write_atomic(self._url, (self._before + said).encode())
            self._flushed, self._flushed_s = len(said), time.monotonic()
