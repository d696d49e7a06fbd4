"""Media files beside the records: what a unit has read of them, and whether there is something else to read now.

    run_unit --LooseMedia--> media/<unit>.json    path -> mark and sha256 of what was read
    next plan: the files as they are now ----> the same address, or that of another unit, which is to be done

The address of a unit that was never done knows nothing of them: copies of a data set give the same bytes everywhere.
A mark is size and time of change, or an etag; where it differs the bytes are compared. A file that is gone since stays
as it was read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import media_url, written_units
from data_pipeline.errors import RecordError
from data_pipeline.records.comparison import MediaRef

__all__ = ["UNAVAILABLE", "LooseMedia", "current_addresses"]

UNAVAILABLE = "unavailable_media"
"""The reason of a record whose media could not be had."""


class LooseMedia:
    """The files below `root` that a unit's records name, as they are read; none where `root` is an archive."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._in_archive = storage.archive_of(root) is not None
        self._sha256: dict[str, str] = {}
        self._marks: dict[str, str] = {}

    def note(self, ref: MediaRef, sha256: str = "") -> None:
        """A record names `ref`; `sha256` is that of its bytes once they are read.

        The mark of a local file is taken before it is read, so that a change meanwhile is seen. A path that may not be
        followed is refused by who reads it.
        """
        if self._in_archive or ref.data is not None or not ref.path or "://" in ref.path:
            return
        self._sha256[ref.path] = sha256 or self._sha256.get(ref.path, "")
        if ref.path not in self._marks and (url := _url(ref.path, self._root)) is not None and storage.is_local(url):
            self._marks |= {ref.path: storage.marks_of([url])[url]}

    def write(self, address: str, output: str, *, unavailable: bool) -> None:
        """Keep it beside the unit of this address.

        Args:
            unavailable: whether records were refused because media could not be had.
        """
        urls = {path: url for path in self._sha256 if (url := _url(path, self._root)) is not None}
        marks = storage.marks_of([url for path, url in urls.items() if path not in self._marks])
        files = {}
        for path, url in sorted(urls.items()):
            mark = self._marks.get(path, marks.get(url, ""))
            files[path] = [mark, self._sha256[path] or (_content(url) if mark else "")]
        if files or unavailable:
            text = json.dumps({"unavailable": unavailable, "files": files}, indent=1, ensure_ascii=False)
            storage.write_atomic(media_url(address, output), text.encode("utf-8", "backslashreplace"))


@dataclass(frozen=True, kw_only=True)
class _Seen:
    """The content of ``media/<unit>.json``."""

    unavailable: bool = False
    files: Mapping[str, Sequence[str]]

    def changed(self, root: str) -> dict[str, str]:
        """sha256 of the files that a unit would read otherwise now, by path."""
        urls = {path: url for path in self.files if (url := _url(path, root)) is not None}
        marks = storage.marks_of(list(urls.values()))
        changed = {}
        for path, url in urls.items():
            mark, sha256 = self.files[path]
            if marks[url] and marks[url] != mark and (now := _content(url)) != sha256:
                changed[path] = now
        return changed


def current_addresses(units: Sequence[tuple[str, str]], config: PreprocessConfig) -> list[str]:
    """The addresses under which units are done, or are to be done where their media are others now.

    Args:
        units: address by the records and settings, and media root.
    """
    written = written_units(config.output)
    seen_by = {storage.name_of(url) for url in storage.list_files(media_url("*", storage.escaped(config.output)))}

    def current(unit: tuple[str, str]) -> str:
        address, root = unit
        while address in written and f"{address}.json" in seen_by:
            seen = _Seen(**json.loads(storage.read_bytes(media_url(address, config.output))))
            again = _other(address, "again")
            if changed := seen.changed(root):
                address = _other(address, changed)
            elif seen.unavailable and (config.retry_refused or again in written):
                address = again
            else:
                break
        return address

    return storage.read_each(current, units)


def _other(address: str, why: object) -> str:
    """20 hex digits that name the unit after a change."""
    return hashlib.sha256(json.dumps([address, why], sort_keys=True).encode()).hexdigest()[:20]


def _url(path: str, root: str) -> str | None:
    try:
        return storage.url_below(path, root)
    except RecordError:
        return None


def _content(url: str) -> str:
    """sha256 of a file's bytes, or of the names in a folder of frames."""
    if names := [storage.name_of(one) for one in storage.list_files(url) if one != url]:
        return hashlib.sha256("\n".join(sorted(names)).encode("utf-8", "backslashreplace")).hexdigest()
    return storage.sha256_of(url) if storage.list_files(url) else ""
