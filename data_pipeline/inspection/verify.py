"""Is prepared data whole: every file that a manifest names, against its checksum, and every file that proves itself."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from data_pipeline import storage
from data_pipeline.dataset.layout import kept_manifests, rows_url, unit_url, written_units
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import CorruptData
from data_pipeline.transform.units import UnitRecord

__all__ = ["CheckedFile", "checks_of", "verify_files"]

_AT_ONCE = 4  # hashing leaves the interpreter free, and remote files are waited for


@dataclass(frozen=True, kw_only=True)
class CheckedFile:
    """One file of a manifest; `problem` is None where its bytes are those that were written."""

    url: str
    problem: str | None


Check = Callable[[], CheckedFile]


def checks_of(folder: str, manifest: Manifest) -> list[Check]:
    """One check a file: those in the order of `Manifest.files`, then what proves itself, all manifests and units."""
    checks: list[Check] = [partial(_check, url, sha256) for url, sha256 in manifest.files(folder)]
    checks += [partial(_check_manifest, url) for url in kept_manifests(folder)]
    return checks + [partial(_check_unit, unit, folder) for unit in sorted(written_units(folder))]


def verify_files(checks: Sequence[Check]) -> Iterator[CheckedFile]:
    """Read every file once, a few at a time; results come in the order of the checks."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(lambda check: check(), checks)


def _check_manifest(url: str) -> CheckedFile:
    try:
        Manifest.read(url)
    except CorruptData as error:
        return CheckedFile(url=url, problem=str(error))
    return CheckedFile(url=url, problem=None)


def _check_unit(unit: str, folder: str) -> CheckedFile:
    """The unit's record, and the table that it vouches for, from which filtering decides."""
    try:
        record = UnitRecord.read(unit, folder)
    except CorruptData as error:
        return CheckedFile(url=unit_url(unit, folder), problem=str(error))
    assert record is not None, "it was listed"
    return _check(rows_url(unit, folder), record.rows_sha256)


def _check(url: str, promised: str) -> CheckedFile:
    if not storage.exists(url):
        return CheckedFile(url=url, problem="is not there")
    found = storage.sha256_of(url)
    if found == promised:
        return CheckedFile(url=url, problem=None)
    return CheckedFile(url=url, problem=f"has sha256 {found[:12]}…, it was written with {promised[:12]}…")
