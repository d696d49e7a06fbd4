"""Is prepared data whole: every file that a manifest names, against its checksum."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from data_pipeline import storage
from data_pipeline.dataset.manifest import Manifest

__all__ = ["CheckedFile", "verify_files"]

_AT_ONCE = 4  # hashing leaves the interpreter free, and remote files are waited for


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file of a manifest; `problem` is None where its bytes are those that were written."""

    url: str
    problem: str | None


def verify_files(folder: str, manifest: Manifest) -> Iterator[CheckedFile]:
    """Read every file once, a few at a time; results come in the order of `Manifest.files`."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(_check, manifest.files(folder))


def _check(promise: tuple[str, str]) -> CheckedFile:
    url, promised = promise
    if not storage.exists(url):
        return CheckedFile(url=url, problem="is not there")
    found = storage.sha256_of(url)
    if found == promised:
        return CheckedFile(url=url, problem=None)
    return CheckedFile(url=url, problem=f"has sha256 {found[:12]}…, the manifest says {promised[:12]}…")
