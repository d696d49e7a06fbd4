"""Names and JSON of a checkpoint folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from data_pipeline.errors import CorruptData
from data_pipeline.storage import from_checked_json, join, to_checked_json

__all__ = ["DATA", "MARKER", "RECORD", "Marker", "PartRecord", "parsed", "part_stem", "step_folder", "to_bytes"]

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
