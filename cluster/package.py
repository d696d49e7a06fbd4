"""The code of a job as one zip file: the same bytes for the same files, on any machine."""

import hashlib
import os
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cluster.errors import Refused

__all__ = ["LIMIT_BYTES", "Package", "pack", "package_folder"]

LIMIT_BYTES = 100 * 1024**2  # what Ray takes over its Jobs API; beyond it, a 500 without a word
_MOMENT = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can hold
_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Package:
    """A zip that is there."""

    file: Path
    sha256: str
    size_bytes: int
    num_files: int
    left_out: Mapping[str, int]
    """How many files were left out, by kind."""


def package_folder(name: str) -> Path:
    """Where an importable package lies.

    Raises:
        Refused: it is not installed here.
    """
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise Refused(f"package {name!r} is not installed here, so it can't be sent to the cluster's workers")
    return Path(next(iter(spec.submodule_search_locations)))


def pack(names: Sequence[str], extra: Mapping[str, str], store: Path, *, limit_bytes: int = LIMIT_BYTES) -> Package:
    """Write the packages called `names`, and `extra` files, to ``store/HASH.zip``.

    Compiled files, hidden files and links are left out.

    Args:
        extra: text by its path in the zip.

    Raises:
        Refused: the zip is larger than `limit_bytes`; the largest files are named.
    """
    entries = {path: text.encode() for path, text in extra.items()}
    left_out: dict[str, int] = {}
    for name in names:
        folder = package_folder(name)
        for file in sorted(folder.rglob("*")):
            kind = _why_not(file, folder)
            if kind:
                left_out[kind] = left_out.get(kind, 0) + 1
            elif file.is_file():
                entries[f"{name}/{file.relative_to(folder).as_posix()}"] = file.read_bytes()
    store.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = store / f"draft.{os.getpid()}"
    try:
        _write(draft, entries)
        size_bytes, digest = draft.stat().st_size, hashlib.sha256(draft.read_bytes()).hexdigest()
        if size_bytes > limit_bytes:
            raise Refused(_too_large(size_bytes, limit_bytes, entries))
        file = draft.rename(store / f"{digest}.zip")
    finally:
        draft.unlink(missing_ok=True)
    return Package(file=file, sha256=digest, size_bytes=size_bytes, num_files=len(entries), left_out=left_out)


def _write(path: Path, entries: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(entries):
            item = zipfile.ZipInfo(name, _MOMENT)
            item.compress_type = zipfile.ZIP_DEFLATED
            item.external_attr = 0o644 << 16
            archive.writestr(item, entries[name])


def _why_not(file: Path, folder: Path) -> str | None:
    if file.is_symlink():
        return "links"
    if any(part.startswith(".") for part in file.relative_to(folder).parts):
        return "hidden"
    if "__pycache__" in file.parts or file.suffix in {".pyc", ".pyo", ".so"}:
        return "compiled" if file.is_file() else None
    return None


def _too_large(size_bytes: int, limit_bytes: int, entries: Mapping[str, bytes]) -> str:
    largest = sorted(entries, key=lambda name: -len(entries[name]))[:_SHOWN]
    named = ", ".join(f"{name} ({len(entries[name]) / 1e6:.1f} MB)" for name in largest)
    return (
        f"the code is {size_bytes / 1e6:.1f} MB, and Ray's Jobs API takes {limit_bytes / 1e6:.1f} MB; the largest "
        f"files are {named}: move what is no code out, or use --package s3://... or --package image"
    )
