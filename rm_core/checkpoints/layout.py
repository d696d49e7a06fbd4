"""Names and JSON of a checkpoint folder."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from data_pipeline.errors import CorruptData
from data_pipeline.storage import join

__all__ = ["DATA", "MARKER", "RECORD", "Marker", "PartRecord", "parsed", "part_stem", "step_folder", "to_bytes"]

MARKER = "COMPLETE.json"
DATA, RECORD = ".safetensors", ".json"
FORMAT = 1

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
    """As JSON; floats come back bit for bit."""
    return (json.dumps(asdict(value), indent=1, sort_keys=True) + "\n").encode()


def parsed(kind: type[T], text: bytes, url: str) -> T:
    """The marker or record in `text`.

    Raises:
        CorruptData: it is not one, or one of another format.
    """
    try:
        fields = json.loads(text)
        value = kind(**fields)
    except (ValueError, TypeError) as error:
        raise CorruptData(f"{url!r} is not what a checkpoint wrote: {error}") from error
    if isinstance(value, Marker) and value.format != FORMAT:
        raise CorruptData(f"{url!r} has format {value.format}, this version reads {FORMAT}")
    return value
