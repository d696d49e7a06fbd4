"""What of the wanted files is in `data_root` already, and what is in the way."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from data_pipeline import storage
from data_pipeline.errors import AccessDenied, MissingInput, UserError
from jobs.fetch.download import matching
from jobs.fetch.record import Record
from jobs.fetch.wanted import WantedFile, WantedSet
from jobs.runtime.terminal import say

__all__ = ["State", "state_of"]


@dataclass
class State:
    """The wanted files, each in one list.

    Attributes:
        there: came whole, or were put there by hand and are the same.
        missing: are to come.
        record: what earlier fetches noted.
    """

    record: Record
    there: list[WantedFile] = field(default_factory=list)
    missing: list[WantedFile] = field(default_factory=list)


def state_of(sets: Sequence[WantedSet], record: Record, data_root: str) -> State:
    """Look at every wanted file; one that no record names is read against its checksums.

    Raises:
        UserError: a file that the hub did not give is in the place of a wanted one.
    """
    state = State(record)
    wanted = [file for one in sets for file in one.files]
    sizes = storage.read_each(lambda file: _size_of(storage.join(data_root, file.path)), wanted)
    for file, size in zip(wanted, sizes, strict=True):
        if size is not None and not record.knows(file):
            _check_same(file, size, storage.join(data_root, file.path))
            state.there.append(file)
        elif size == file.size and record.has(file):
            state.there.append(file)
        else:
            state.missing.append(file)
    return state


def _size_of(url: str) -> int | None:
    try:
        return storage.size_of(url)
    except AccessDenied:  # which is a MissingInput, and says nothing of the file
        raise
    except MissingInput:
        return None


def _check_same(wanted: WantedFile, size: int, url: str) -> None:
    if size == wanted.size:
        say(f"{url} did not come from the hub: its {size:,} bytes are compared")
        with storage.open_input(url) as file:
            if matching(file, wanted.parts):
                return
    raise UserError(
        f"{url} did not come from the hub, and differs from {wanted.path} of {wanted.dataset}@{wanted.commit} "
        f"({size:,} bytes for {wanted.size:,}): move it away, or take another data_root"
    )
