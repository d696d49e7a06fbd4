"""``fetched.json`` in `data_root`: the commit of each data set, and which files have come whole, with their checksums.

The commit of a set without `hub.revision` stays the one that was the newest when it was fetched first.
"""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_pipeline import storage
from jobs.fetch.wanted import Repository, WantedFile

__all__ = ["RECORD", "Record"]

RECORD = "fetched.json"
_LEAST_S = 1.0
"""Between two times that it is written: a set of pictures is many small files, and each time all of them are named."""


@dataclass
class Record:
    """What earlier fetches brought to one `data_root`.

    Attributes:
        sets: data set -> its commit and licence.
        files: path below `data_root` -> data set, commit, bytes and checksums.
    """

    data_root: str
    sets: dict[str, Mapping[str, str]] = field(default_factory=dict)
    files: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _written_s: float = field(default=-math.inf, init=False)
    _changed: bool = field(default=False, init=False)

    @classmethod
    def read(cls, data_root: str) -> "Record":
        """Raises CorruptData where the file is damaged."""
        url = storage.join(data_root, RECORD)
        if not storage.exists(url):
            return cls(data_root)
        kept = storage.from_checked_json(storage.read_bytes(url), url)
        return cls(data_root, kept["sets"], kept["files"])

    def commit_of(self, dataset: str) -> str | None:
        """The commit that the set was fetched at; None: it was not."""
        return self.sets[dataset]["commit"] if dataset in self.sets else None

    def knows(self, wanted: WantedFile) -> bool:
        """Whether such a file came from the hub, also where it was another one."""
        return wanted.path in self.files

    def has(self, wanted: WantedFile) -> bool:
        """Whether this very file came whole; whether it is still there is another question."""
        return self.knows(wanted) and self.files[wanted.path]["digests"] == wanted.digests

    def note(self, wanted: WantedFile, repository: Repository) -> None:
        """The file has come whole. Written at once where it is the first of its set at that commit, else with the next
        ones or by `flush`: one that a kill leaves out is compared with its checksums by the next fetch.
        """
        said = {"commit": repository.commit, "licence": repository.licence}
        is_first = self.sets.get(repository.dataset) != said
        self.sets[repository.dataset] = said
        self.files[wanted.path] = {
            "dataset": wanted.dataset,
            "commit": wanted.commit,
            "bytes": wanted.size,
            "digests": wanted.digests,
        }
        self._changed = True
        if is_first or time.monotonic() - self._written_s >= _LEAST_S:
            self.flush()

    def flush(self) -> None:
        """Write what was noted."""
        if not self._changed:
            return
        kept = {"sets": self.sets, "files": self.files}
        storage.write_atomic(storage.join(self.data_root, RECORD), storage.to_checked_json(kept))
        self._written_s, self._changed = time.monotonic(), False
