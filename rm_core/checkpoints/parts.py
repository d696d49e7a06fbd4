"""One rank's part: tensors -> data file -> sha256 -> its place -> the record, written last."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from data_pipeline.errors import NoSpace, RunError
from data_pipeline.storage import is_local, join, make_parent, sha256_of, upload, write_atomic
from rm_core.checkpoints.layout import DATA, RECORD, PartRecord, part_stem, to_bytes

__all__ = ["write_part"]


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
    folder = os.path.dirname(url) if is_local(url) else None
    handle, path = tempfile.mkstemp(prefix=".draft-", suffix=DATA, dir=folder)
    os.close(handle)
    try:
        yield path
    finally:
        if os.path.exists(path):
            os.unlink(path)
