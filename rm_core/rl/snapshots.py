"""Checkpoints of Transformers' Trainer in an output folder, local or in an object store: complete or absent.

    Trainer writes <scratch>/checkpoint-N on every node -> each node's files -> step-0000000N/ -> COMPLETE.json

They hold what the Trainer goes on from: weights, optimiser, random numbers, and its history, in which the looks at the
held-out prompts are.
"""

import os
import shutil
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import torch.distributed as dist

from data_pipeline.errors import CorruptData
from data_pipeline.storage import (
    delete_folder,
    escaped,
    from_checked_json,
    is_local,
    join,
    list_files,
    name_of,
    open_input,
    parent_of,
    read_bytes,
    sha256_of,
    to_checked_json,
    upload,
    write_atomic,
)

__all__ = ["SnapshotStore"]

Own = TypeVar("Own")
_COMPLETE = "COMPLETE.json"
_CHUNK_BYTES = 1 << 24


class SnapshotStore:
    """The checkpoints of one training.

    Args:
        url: their folder.
        scratch: a folder of this node, in which the Trainer writes; below a local `url`, all nodes share it.
        is_first_of_node: whether this rank writes for its node.
    """

    def __init__(self, url: str, scratch: str, *, is_first_of_node: bool) -> None:
        self._url = url
        self._scratch = scratch
        self._is_first_of_node = is_first_of_node

    def steps(self) -> list[int]:
        """Those that are complete, the oldest first."""
        markers = list_files(join(escaped(self._url), "step-*", _COMPLETE))
        return sorted(int(name_of(parent_of(marker)).removeprefix("step-")) for marker in markers)

    def keep(self, step: int) -> None:
        """Make what the Trainer wrote after `step` last; called on every rank."""
        draft = os.path.join(self._scratch, f"checkpoint-{step}")
        target = self._folder(step)
        _barrier()
        if is_local(self._url):
            if _rank() == 0:
                delete_folder(target, first=_COMPLETE)
                os.makedirs(parent_of(target), exist_ok=True)
                os.replace(draft, target)
                self._mark(step, _hashes(target))
        else:
            if _rank() == 0:
                delete_folder(target, first=_COMPLETE)
            _barrier()
            own = _hashes(draft) if self._is_first_of_node else {}
            for name in own:
                upload(os.path.join(draft, name), join(target, name))
            files = {name: sha256 for one in _gathered(own) for name, sha256 in one.items()}
            if _rank() == 0:
                self._mark(step, files)
            if self._is_first_of_node:
                shutil.rmtree(draft, ignore_errors=True)
        _barrier()

    def keep_only(self, steps: Collection[int]) -> None:
        """Delete all others; called on one rank."""
        for step in self.steps():
            if step not in steps:
                delete_folder(self._folder(step), first=_COMPLETE)

    def newest(self, note: Callable[[str], None]) -> str | None:
        """The newest checkpoint that is whole on every node, as a folder of this node; called on every rank.

        Args:
            note: told of each one that is passed over.
        """
        for step in reversed(self.steps()):
            try:
                return self.local(step)
            except CorruptData as error:
                note(f"{error}: the checkpoint before it is taken")
        return None

    def local(self, step: int) -> str:
        """The checkpoint as a folder of this node, every file checked; called on every rank.

        Raises:
            CorruptData: a file is missing or differs, on whichever node: on all ranks.
        """
        url = self._folder(step)
        folder = url if is_local(url) else os.path.join(self._scratch, f"resume-{step}")
        wrong = self._wrong(url, folder) if self._is_first_of_node else ""
        if told := next(filter(None, _gathered(wrong)), ""):
            raise CorruptData(told)
        return folder

    def _wrong(self, url: str, folder: str) -> str:
        """What is wrong with a checkpoint, once its files are in the folder; empty: nothing."""
        try:
            files: dict[str, str] = from_checked_json(read_bytes(join(url, _COMPLETE)), join(url, _COMPLETE))["files"]
        except CorruptData as error:
            return str(error)
        for name, expected in files.items():
            path = os.path.join(folder, name)
            if not is_local(url):
                _download(join(url, name), path)
            if not os.path.isfile(path) or sha256_of(path) != expected:
                return f"{join(url, name)!r} is missing or differs from its checksum in {_COMPLETE}"
        return ""

    def wait(self) -> None:
        """Until every rank is here."""
        _barrier()

    def _folder(self, step: int) -> str:
        return join(self._url, f"step-{step:08d}")

    def _mark(self, step: int, files: dict[str, str]) -> None:
        write_atomic(join(self._folder(step), _COMPLETE), to_checked_json({"step": step, "files": files}))


def _hashes(folder: str) -> dict[str, str]:
    """Path below the folder -> sha256, of every file."""
    found = {}
    for parent, _, names in os.walk(folder):
        for name in sorted(names):
            path = os.path.join(parent, name)
            found[os.path.relpath(path, folder)] = sha256_of(path)
    return found


def _download(url: str, path: str) -> None:
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open_input(url) as source, open(path, "wb") as target:
        shutil.copyfileobj(source, target, _CHUNK_BYTES)


def _rank() -> int:
    return dist.get_rank() if dist.is_initialized() else 0


def _barrier() -> None:
    if dist.is_initialized():
        dist.barrier()


def _gathered(own: Own) -> list[Own]:
    """That of every rank."""
    if not dist.is_initialized():
        return [own]
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, own)
    return found
