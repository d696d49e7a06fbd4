"""``fetched.json`` in `data_root`: the commit of each data set, and which files have come whole, with their checksums.

The commit of a set without `hub.revision` stays the one that was the newest when it was fetched first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from data_pipeline import storage
from jobs.fetch.wanted import Repository, WantedFile

__all__ = ["RECORD", "Record"]

RECORD = "fetched.json"


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
        """The file has come whole."""
        self.sets[repository.dataset] = {"commit": repository.commit, "licence": repository.licence}
        self.files[wanted.path] = {
            "dataset": wanted.dataset,
            "commit": wanted.commit,
            "bytes": wanted.size,
            "digests": wanted.digests,
        }
        kept = {"sets": self.sets, "files": self.files}
        storage.write_atomic(storage.join(self.data_root, RECORD), storage.to_checked_json(kept))
