"""`manifest.json`: what an output folder holds, from what it was made, what was refused and why. Written last.

It holds no time and no absolute path: the same inputs and config give the same bytes anywhere.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa

from data_pipeline import storage
from data_pipeline.errors import CorruptData
from data_pipeline.shards import SCHEMA_VERSION, ShardInfo

__all__ = ["MANIFEST", "ROWS_SCHEMA", "Counts", "FileInfo", "InputFile", "Manifest", "SourceCounts"]

MANIFEST = "manifest.json"

ROWS_SCHEMA = pa.schema(
    [
        ("shard", pa.int32()),
        ("row", pa.int32()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("split", pa.string()),
        ("prefix_length", pa.int32()),
        ("response_lengths", pa.list_(pa.int32())),
        ("ranks", pa.list_(pa.int32())),
        ("image_rows", pa.list_(pa.int32())),
        ("image_patches", pa.list_(pa.int32())),
        ("content_key", pa.string()),
    ]
)
"""rows.arrow, one row a kept Comparison: lengths in tokens; image_rows in the shard's image table, one a span."""


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One raw file: `path` relative to the data root, sha256 of its bytes, its number of rows."""

    source: str
    path: str
    sha256: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file beside the manifest and its sha256."""

    name: str
    sha256: str


@dataclass(kw_only=True)
class SourceCounts:
    """Records of one source; seen == kept + refused."""

    seen: int = 0
    kept: int = 0
    refused: int = 0


@dataclass(kw_only=True)
class Counts:
    """Records of all sources; seen == kept + refused, and the refused ones by reason."""

    seen: int = 0
    kept: int = 0
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, SourceCounts] = field(default_factory=dict)
    by_split: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        plan: fingerprint of config, inputs and tokenizer together: what a rerun must match.
        tokenizer: sha256 of ``tokenizer.json``.
    """

    schema_version: int
    plan: str
    config: dict[str, Any]
    tokenizer: str
    inputs: list[InputFile]
    counts: Counts
    shards: list[ShardInfo]
    rows_file: FileInfo
    quarantine_file: FileInfo

    def to_json(self) -> bytes:
        return (json.dumps(asdict(self), indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest's bytes: names the data that a training has seen."""
        return hashlib.sha256(self.to_json()).hexdigest()

    @classmethod
    def from_json(cls, data: bytes, url: str = MANIFEST) -> "Manifest":
        """The manifest in `data`; `url` is for messages.

        Raises:
            CorruptData: no manifest, or one of another schema version.
        """
        try:
            raw = json.loads(data)
            if raw["schema_version"] != SCHEMA_VERSION:
                raise CorruptData(
                    f"{url!r} has schema version {raw['schema_version']}, this program reads {SCHEMA_VERSION}: "
                    "preprocess again"
                )
            counts = dict(raw.pop("counts"))
            by_source = {name: SourceCounts(**found) for name, found in counts.pop("by_source").items()}
            return cls(
                inputs=[InputFile(**found) for found in raw.pop("inputs")],
                counts=Counts(**counts, by_source=by_source),
                shards=[ShardInfo(**found) for found in raw.pop("shards")],
                rows_file=FileInfo(**raw.pop("rows_file")),
                quarantine_file=FileInfo(**raw.pop("quarantine_file")),
                **raw,
            )
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptData(f"{url!r} is no manifest ({type(error).__name__}: {error}): preprocess again") from error

    @classmethod
    def read(cls, folder: str) -> "Manifest":
        """The manifest of `folder`.

        Raises:
            MissingInput: the folder has none: it is not finished, or not there.
            CorruptData: as for `from_json`.
        """
        url = storage.join(folder, MANIFEST)
        return cls.from_json(storage.read_bytes(url), url)

    def write(self, folder: str) -> None:
        """Write it; from now on the folder is complete."""
        storage.write_atomic(storage.join(folder, MANIFEST), self.to_json())
