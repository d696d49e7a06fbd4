"""Bring the missing files, a few at once, each under its name only when it is whole and checked."""

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from threading import Event
from time import perf_counter

from data_pipeline import storage
from data_pipeline.errors import BaserewardError, NoSpace, RecipeError, RunError, UserError
from jobs.fetch.download import Downloads
from jobs.fetch.hub import Hub
from jobs.fetch.state import State
from jobs.fetch.wanted import Repository, WantedFile, WantedSet
from jobs.recipe.schema import Recipe
from jobs.runtime.terminal import progress, say

__all__ = ["bring_all"]

_LOOK_S = 0.25
_SHOWN = 6
_MEGA = 1_000_000

Failures = dict[WantedFile, BaserewardError]


def bring_all(recipe: Recipe, hub: Hub, sets: Sequence[WantedSet], state: State, stop: Event) -> None:
    """Bring all that is missing, and note what is there.

    Raises:
        UserError: the hub refused files; RunError: files failed. The others are there.
        NoSpace: the disk can't hold them, which is found before anything is fetched, or while it is.
    """
    data_root = storage.absolute(recipe.preprocess.data_root)
    scratch = _scratch(recipe, data_root)
    repositories = {file: one.repository for one in sets for file in one.files}
    for file in state.there:
        if not state.record.has(file):
            state.record.note(file, repositories[file])
    state.record.flush()
    _check_room(state.missing, data_root, scratch, recipe.fetch.parallel)
    if state.missing:
        at_once = min(len(state.missing), recipe.fetch.parallel)
        say(f"{at_once:,} files at once, at most fetch.parallel: one machine fetches, however many a cluster has")
    began_s = perf_counter()
    with Downloads(hub, recipe.fetch.patience_s, stop, say) as downloads:
        bringer = _Bringer(data_root, scratch, downloads, state, repositories)
        failures = bringer.bring(recipe.fetch.parallel)
    received, elapsed_s = downloads.received, perf_counter() - began_s
    if state.missing:
        say(f"{received:,} bytes came in {elapsed_s:,.0f} s, {received / _MEGA / max(elapsed_s, 1e-3):,.1f} MB/s")
    if failures:
        raise _error_of(failures, len(state.missing))
    with suppress(OSError):  # another fetch's drafts may lie there
        os.rmdir(scratch)
    size = sum(one.size for one in sets)
    say(f"{recipe.preprocess.data_root} holds all {sum(len(one.files) for one in sets):,} files, {size:,} bytes")


class _Bringer:
    def __init__(
        self,
        data_root: str,
        scratch: str,
        downloads: Downloads,
        state: State,
        repositories: Mapping[WantedFile, Repository],
    ) -> None:
        self._data_root = data_root
        self._scratch = scratch
        self._downloads = downloads
        self._state = state
        self._repositories = repositories

    def bring(self, parallel: int) -> Failures:
        """Bring every missing file; returns those that failed, each with its reason."""
        failures: Failures = {}
        missing = self._state.missing
        here = sum(_have(draft_of(file, self._scratch)) for file in missing)
        total = sum(file.size for file in missing)
        pool = ThreadPoolExecutor(parallel, "fetch")
        try:
            with progress("fetch, MB", -(-total // _MEGA), here // _MEGA) as advance:
                under_way = {pool.submit(self._one, file): file for file in missing}
                while under_way:
                    done, _ = wait(under_way, _LOOK_S, FIRST_COMPLETED)
                    for future in done:
                        self._settle(under_way.pop(future), future, failures)
                    came = -(-min(here + self._downloads.received, total) // _MEGA)
                    advance(came, f"{len(under_way):,} of {len(missing):,} files to go")
        finally:
            self._downloads.stop()
            pool.shutdown(cancel_futures=True)
            self._state.record.flush()
        return failures

    def _one(self, file: WantedFile) -> None:
        draft, url = draft_of(file, self._scratch), storage.join(self._data_root, file.path)
        self._downloads.bring(file, draft)
        storage.make_parent(url)
        storage.upload(draft, url)
        if not storage.is_local(url):
            os.unlink(draft)

    def _settle(self, file: WantedFile, future: "Future[None]", failures: Failures) -> None:
        try:
            future.result()
        except NoSpace:
            raise
        except BaserewardError as error:
            failures[file] = error
            say(f"not fetched: {file.path}: {error}")
        else:
            self._state.record.note(file, self._repositories[file])


def draft_of(file: WantedFile, scratch: str) -> str:
    """Where a file lies while it comes: another place for another content."""
    name = hashlib.sha256(f"{file.path} {file.digests}".encode()).hexdigest()[:16]
    return os.path.join(scratch, f"{name}-{storage.name_of(file.path)}.part")


def _have(draft: str) -> int:
    return os.path.getsize(draft) if os.path.exists(draft) else 0


def _scratch(recipe: Recipe, data_root: str) -> str:
    """The local folder of the drafts of this `data_root`.

    Raises:
        RecipeError: `fetch.scratch` is no local folder, or not needed.
    """
    given = recipe.fetch.scratch
    if storage.is_local(data_root):
        if given is not None:
            raise RecipeError(
                f"fetch.scratch={given} is for a data_root in a bucket; in {data_root} drafts lie beside: leave it out"
            )
        return os.path.join(data_root, ".fetch")
    if given is not None and not storage.is_local(given):
        raise RecipeError(f"fetch.scratch={given} must be a folder of this machine")
    folder = storage.private_folder("fetch") if given is None else os.path.abspath(given)
    return os.path.join(folder, hashlib.sha256(data_root.encode()).hexdigest()[:12])


def _check_room(missing: Sequence[WantedFile], data_root: str, scratch: str, parallel: int) -> None:
    """Refuse what can't fit before a byte is asked for.

    Raises:
        NoSpace: says what is wanted and what is free.
    """
    left = sorted((file.size - _have(draft_of(file, scratch)) for file in missing), reverse=True)
    needed = sum(left) if storage.is_local(data_root) else sum(left[:parallel])
    place = scratch
    while not os.path.isdir(place):
        place = os.path.dirname(place)
    free = shutil.disk_usage(place).free
    if needed > free:
        cure = "take another data_root" if storage.is_local(data_root) else "name another fetch.scratch"
        raise NoSpace(f"{needed:,} bytes are to come, and {place} has {free:,} free: make room, or {cure}")


def _error_of(failures: Mapping[WantedFile, BaserewardError], number: int) -> BaserewardError:
    shown = "; ".join(f"{file.path}: {error}" for file, error in list(failures.items())[:_SHOWN])
    more = f"; and {len(failures) - _SHOWN:,} more" if len(failures) > _SHOWN else ""
    text = f"{len(failures):,} of {number:,} files were not fetched: {shown}{more}"
    if all(isinstance(error, UserError) for error in failures.values()):
        return UserError(text)
    return RunError(text)
