"""`manifest.json`: what an output folder holds, from what it was made, what was refused and why. Written last.

It holds no time and no absolute path: the same inputs and config give the same bytes anywhere. Its `address` is a hash
of all that decides its content. `manifests/<address>.json` keeps every manifest of the folder; `manifest.json` is the
newest.
"""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from typing import Any

from data_pipeline import storage
from data_pipeline.dataset.layout import MANIFEST, kept_manifest_url, manifest_url
from data_pipeline.dataset.shards import SCHEMA_VERSION, ShardInfo
from data_pipeline.encoding.reading import Reading
from data_pipeline.errors import CorruptData

__all__ = ["BenchmarkCounts", "Counts", "FileInfo", "InputFile", "Manifest", "SourceCounts"]


@dataclass(frozen=True, kw_only=True)
class InputFile:
    """One raw file: `path` relative to the data root, its size, sha256 of its bytes, its number of rows."""

    source: str
    path: str
    bytes: int
    sha256: str
    rows: int


@dataclass(frozen=True, kw_only=True)
class FileInfo:
    """A file beside the manifest and its sha256."""

    name: str
    sha256: str


@dataclass(kw_only=True)
class SourceCounts:
    """Items of one source; seen == kept + refused.

    Attributes:
        shown: training Comparisons an epoch shows, repeats counted.
        unread: records that have a field that is neither read nor known to mean nothing, by the field's path.
        groups: grouped Comparisons that the kept ones became; 0 where they are not grouped.
    """

    seen: int = 0
    kept: int = 0
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    shown: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    groups: int = 0


@dataclass(kw_only=True)
class BenchmarkCounts:
    """A benchmark that was compared with.

    Attributes:
        items: items whose prompt was read.
        images: images of theirs that could be read; benchmarks are often given without.
        refused: records of which nothing could be made.
        overlaps: Comparisons that were removed because of it.
    """

    items: int = 0
    images: int = 0
    refused: int = 0
    overlaps: int = 0


@dataclass(kw_only=True)
class Counts:
    """Items of all sources; seen == kept + refused, and the refused ones by reason.

    An item is a Comparison that was made, or a record that gave none; a record may give several.
    """

    seen: int = 0
    kept: int = 0
    refused: int = 0
    refused_by_reason: dict[str, int] = field(default_factory=dict)
    by_source: dict[str, SourceCounts] = field(default_factory=dict)
    by_split: dict[str, int] = field(default_factory=dict)
    benchmarks: dict[str, BenchmarkCounts] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        address: hash of config, inputs and tokenizer together: what a rerun must match.
        tokenizer: sha256 of ``tokenizer.json``.
        code: the package's version that wrote it.
        groups_file: the table of grouped Comparisons; None where they are not grouped.
    """

    schema_version: int
    address: str
    code: str
    config: dict[str, Any]
    tokenizer: str
    inputs: list[InputFile]
    counts: Counts
    shards: list[ShardInfo]
    rows_file: FileInfo
    quarantine_file: FileInfo
    groups_file: FileInfo | None = None

    def to_json(self) -> bytes:
        """The file's bytes, which hold the checksum of their own content."""
        return storage.to_checked_json(self._fields(), indent=2)

    def _fields(self) -> dict[str, Any]:
        """As dicts and lists, without what early versions did not have where it says nothing."""
        fields = asdict(self)
        for counts in fields["counts"]["by_source"].values():
            if not counts["unread"]:
                del counts["unread"]  # a manifest without it keeps the fingerprint that it had
            if not counts["groups"]:
                del counts["groups"]
        if fields["groups_file"] is None:
            del fields["groups_file"]
        return fields

    @property
    def fingerprint(self) -> str:
        """sha256 of the manifest without its checksum: names the data that a training has seen.

        Manifests of early versions had no checksum; theirs is the sha256 of the file.
        """
        text = json.dumps(self._fields(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def reading(self) -> Reading:
        """How the records were read that it lists."""
        return Reading.of_manifest(self.config, self.tokenizer)

    def files(self, folder: str) -> list[tuple[str, str]]:
        """(url, sha256) of every file that it names, in the output folder `folder`: tables, quarantine, then shards."""
        infos = (self.rows_file, self.quarantine_file, *([self.groups_file] if self.groups_file else []))
        files = [(storage.join(folder, info.name), info.sha256) for info in infos]
        return files + [(file.url, file.sha256) for shard in self.shards for file in shard.files(folder)]

    @classmethod
    def from_json(cls, data: bytes, url: str = MANIFEST) -> "Manifest":
        """The manifest in `data`; `url` is for messages.

        Raises:
            CorruptData: no manifest, a damaged one, or one of another schema version.
        """
        try:
            raw = storage.from_json_of_any_age(data, url)
            if raw["schema_version"] != SCHEMA_VERSION:
                raise CorruptData(
                    f"{url!r} has schema version {raw['schema_version']}, this program reads {SCHEMA_VERSION}"
                )
            counts = dict(raw.pop("counts"))
            by_source = {name: SourceCounts(**found) for name, found in counts.pop("by_source").items()}
            benchmarks = {name: BenchmarkCounts(**found) for name, found in counts.pop("benchmarks").items()}
            groups_file = raw.pop("groups_file", None)
            return cls(
                inputs=[InputFile(**found) for found in raw.pop("inputs")],
                counts=Counts(**counts, by_source=by_source, benchmarks=benchmarks),
                shards=[ShardInfo(**found) for found in raw.pop("shards")],
                rows_file=FileInfo(**raw.pop("rows_file")),
                quarantine_file=FileInfo(**raw.pop("quarantine_file")),
                groups_file=FileInfo(**groups_file) if groups_file is not None else None,
                **raw,
            )
        except CorruptData as error:
            raise CorruptData(f"{error}: preprocess again, which keeps all finished work units") from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptData(f"{url!r} is no manifest ({type(error).__name__}: {error}): preprocess again") from error

    @classmethod
    def read(cls, place: str) -> "Manifest":
        """The manifest of the folder `place`, or in the file `place`.

        Raises:
            MissingInput: the folder has none: it is not finished, or not there.
            CorruptData: as for `from_json`.
        """
        url = place if place.endswith(".json") else manifest_url(place)
        return cls.from_json(storage.read_bytes(url), url)

    def write(self, folder: str) -> None:
        """Write it; from now on the folder is complete."""
        data = self.to_json()
        storage.write_atomic(kept_manifest_url(folder, self.address), data)
        storage.write_atomic(manifest_url(folder), data)
