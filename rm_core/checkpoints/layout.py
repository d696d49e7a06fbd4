"""Names and JSON of a checkpoint folder, and how one rank writes its part of it.

tensors -> data file -> sha256 -> its place -> the record, written last
"""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from data_pipeline.errors import CorruptData, NoSpace, RunError
from data_pipeline.storage import (
    draft_beside,
    from_checked_json,
    is_local,
    join,
    make_parent,
    name_of,
    sha256_of,
    to_checked_json,
    upload,
    write_atomic,
)

__all__ = [
    "DATA",
    "MARKER",
    "RECORD",
    "Marker",
    "PartRecord",
    "parsed",
    "part_stem",
    "step_folder",
    "to_bytes",
    "write_part",
]


MARKER = "COMPLETE.json"
DATA, RECORD = ".safetensors", ".json"
FORMAT = 2
"""1 had no checksum of the marker itself, so that a changed bit in it passed unnoticed."""

T = TypeVar("T", "Marker", "PartRecord")


@dataclass(frozen=True, kw_only=True)
class PartRecord:
    """What one rank wrote."""

    attempt: str
    """The life of the group that wrote it; parts of two are never mixed."""
    rank: int
    bytes: int
    sha256: str
    """Of the data file."""
    fragments: Mapping[str, tuple[int, int]]
    """Parameter -> (start, numel) in the flat parameter."""


@dataclass(frozen=True, kw_only=True)
class Marker:
    """What makes a folder a checkpoint."""

    format: int = FORMAT
    step: int
    world_size: int
    attempt: str
    records: list[str]
    """sha256 of each rank's record."""
    facts: dict[str, Any]
    """What the training wants back."""
    score: float | None = None
    """Lower is better; None: not judged."""


def step_folder(url: str, step: int) -> str:
    """`url`/step-00000120."""
    return join(url, f"step-{step:08d}")


def part_stem(rank: int, world_size: int) -> str:
    """The name of a rank's two files, without their endings."""
    return f"rank-{rank:05d}-of-{world_size:05d}"


def to_bytes(value: Marker | PartRecord) -> bytes:
    """As JSON with its own checksum; floats come back bit for bit."""
    return to_checked_json(asdict(value))


def parsed(kind: type[T], text: bytes, url: str) -> T:
    """The marker or record in `text`.

    Raises:
        CorruptData: it is damaged, not one, or one of another format.
    """
    fields = from_checked_json(text, url)
    try:
        value = kind(**fields)
    except TypeError as error:
        raise CorruptData(f"{url!r} is not what a checkpoint wrote: {error}") from error
    if isinstance(value, Marker) and value.format != FORMAT:
        raise CorruptData(f"{url!r} has format {value.format}, this version reads {FORMAT}")
    return value


def write_part(
    folder: str,
    tensors: Mapping[str, Tensor],
    fragments: Mapping[str, tuple[int, int]],
    *,
    attempt: str,
    rank: int,
    world_size: int,
) -> None:
    """Write the part of `rank` into the checkpoint's `folder`.

    Args:
        tensors: on the CPU, by their keys in the file.
        fragments: parameter -> (start, numel) of its values in `tensors`.

    Raises:
        NoSpace: a disk is full.
        RunError: the remote store kept failing.
    """
    stem = join(folder, part_stem(rank, world_size))
    with _draft(stem + DATA) as draft:
        try:
            save_file(dict(tensors), draft)
        except SafetensorError as error:  # what the system said is in its text only
            kind = NoSpace if "os error 28" in str(error) or "os error 122" in str(error) else RunError
            raise kind(f"cannot write {stem + DATA!r}: {error}; make room on that disk") from error
        if is_local(stem):  # a draft for a remote store lies where everybody may look
            with suppress(PermissionError):  # some shared disks know no modes
                os.chmod(draft, os.stat(os.path.dirname(draft)).st_mode & 0o644)  # safetensors lets nobody else read it
        record = PartRecord(
            attempt=attempt, rank=rank, bytes=os.path.getsize(draft), sha256=sha256_of(draft), fragments=fragments
        )
        upload(draft, stem + DATA)
    write_atomic(stem + RECORD, to_bytes(record))


@contextmanager
def _draft(url: str) -> Iterator[str]:
    """A path to write first: beside a local `url`, so that it can be renamed, else in this machine's own folder."""
    make_parent(url)
    with ExitStack() as stack:
        beside = url if is_local(url) else join(stack.enter_context(tempfile.TemporaryDirectory()), name_of(url))
        path = draft_beside(beside)
        try:
            yield path
        finally:
            Path(path).unlink(missing_ok=True)
