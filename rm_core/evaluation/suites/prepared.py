"""A suite as prepared data: its rows read and encoded once, for whoever scores them again and again.

    SuiteData, its reader --prepare_suite--> FOLDER: shards, the table of rows, its items, the manifest
                          --open_prepared--> PreparedSuite: Comparisons by row, and numbers of their rewards

A row that cannot be read as the model reads (too long) has no Comparison; it stays a row of the suite and is wrong.
Texts are not kept: only tokens and pictures are scored. What lies in the folder decides nothing that its manifest's
address does not name, so another recipe makes it anew.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import pyarrow as pa

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.manifest import Counts, FileInfo, Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.dataset.shards import SCHEMA_VERSION, ShardInfo, ShardRow, serialise, span_frames, write_shard
from data_pipeline.dataset.tables import ROWS_SCHEMA
from data_pipeline.encoding.encoder import EncodedComparison, Segments
from data_pipeline.encoding.reading import Reading
from data_pipeline.errors import MissingInput
from data_pipeline.records.comparison import Comparison, Response
from data_pipeline.sources.readers.files import RowRange
from data_pipeline.storage.cache import ShardCache
from rm_core.evaluation.intervals import Resampling
from rm_core.evaluation.suites.files import SuiteData
from rm_core.evaluation.suites.lines import SuiteReader
from rm_core.evaluation.suites.outcomes import Outcomes
from rm_core.evaluation.suites.registry import SUITES
from rm_core.evaluation.suites.suite import SuiteItem

__all__ = ["PreparedSuite", "open_prepared", "prepare_suite", "suite_numbers"]

_FORMAT = 1
_SHARD_BYTES = 1 << 26
_VALUES_ONLY = Resampling(confidence=0.95, samples=1, seed=0)


@dataclass(frozen=True, kw_only=True)
class PreparedSuite:
    """What `prepare_suite` wrote."""

    name: str
    data: PreparedData
    items: tuple[SuiteItem, ...]
    """A row of the suite each."""
    places: tuple[int | None, ...]
    """[N] which Comparison of `data` a row is; None where it could not be read."""
    without_pictures: int
    """Rows without pictures that they have."""

    @property
    def measured_on(self) -> str:
        """What its numbers are of, for whoever sees only them."""
        parts = [f"{len(self.items):,} rows"]
        if self.without_pictures:
            parts.append(f"{self.without_pictures:,} scored without their pictures")
        if unread := self.places.count(None):
            parts.append(f"{unread:,} that the model does not read, which are wrong")
        return ", ".join(parts)

    def numbers(self, rewards: Sequence[tuple[float, ...]]) -> dict[str, float]:
        """``suite/NAME/NUMBER`` for rewards of each Comparison of `data`."""
        return suite_numbers(self.name, self.items, [None if at is None else rewards[at] for at in self.places])


class _Writer:
    """Rows on their way into shards, and the table of them."""

    def __init__(self, folder: str, address: str) -> None:
        self._folder = storage.join(folder, "shards")
        self._name = address[:8]
        self._waiting: list[ShardRow] = []
        self._bytes = 0
        self.shards: list[ShardInfo] = []
        self.rows: list[dict[str, Any]] = []

    def add(self, row: ShardRow) -> int:
        """One more; returns its place among all."""
        self._waiting.append(row)
        self._bytes += row.num_bytes
        place = len(self.rows) + len(self._waiting) - 1
        if self._bytes >= _SHARD_BYTES:
            self.write()
        return place

    def write(self) -> None:
        """Put what waits into a shard."""
        if not self._waiting:
            return
        info, pictures = write_shard(self._folder, f"{self._name}-{len(self.shards)}", self._waiting)
        self.rows += [
            _planned(row, len(self.shards), place, pictures[place]) for place, row in enumerate(self._waiting)
        ]
        self.shards.append(info)
        self._waiting, self._bytes = [], 0


def suite_numbers(
    name: str, items: Sequence[SuiteItem], rewards: Sequence[tuple[float, ...] | None]
) -> dict[str, float]:
    """The numbers of a suite as `log_suite` calls them, without intervals."""
    outcomes = Outcomes(
        ids=[item.id for item in items],
        ranks=[item.ranks for item in items],
        rewards=rewards,
        categories=[item.category for item in items],
        groups=np.zeros(len(items), dtype=np.int64),  # only intervals ask which rows belong together
        resampling=_VALUES_ONLY,
    )
    return {f"suite/{name}/{key}": number.value for key, number in SUITES[name].measure(outcomes).items()}


def prepare_suite(data: SuiteData, reader: SuiteReader, reading: Reading, folder: str, **more: Any) -> Iterator[int]:
    """Write the suite into `folder`, unless it is there already; yields how many of its rows are done.

    Args:
        reading: how `reader` reads.
        more: what else decides the rows, JSON.

    Raises:
        MissingInput: a picture is not there, or none.
    """
    key = {
        "format": _FORMAT, "suite": data.suite.name, "files": [storage.sha256_of(url) for url in data.files],
        "media_root": data.media_root, "reading": asdict(reading), **more,
    }  # fmt: skip
    address = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:32]
    if _address_of(folder) == address:
        return
    writer = _Writer(folder, address)
    places: list[int | None] = []
    without_pictures = 0
    for done, line in enumerate(reader.lines(RowRange(0, len(data.items))), 1):
        if line.encoded is None:
            places.append(None)
        else:
            places.append(writer.add(_row(line.encoded, f"{data.suite.name}/{done - 1}")))
            without_pictures += json.loads(line.fields)["missing_pictures"] > 0
        yield done
    writer.write()
    items = [asdict(item) for item in data.items]
    content = {"items": items, "places": places, "without_pictures": without_pictures}
    storage.write_atomic(_items_url(folder, address), storage.to_checked_json(content, indent=None))
    _write_manifest(folder, address, key, reading, writer)


def open_prepared(name: str, folder: str, cache: ShardCache | None = None) -> PreparedSuite:
    """The suite in `folder`.

    Raises:
        MissingInput: it is not there.
        CorruptData: it is damaged.
    """
    data = PreparedData.open(folder, cache)
    url = _items_url(folder, data.manifest.address)
    found = storage.from_checked_json(storage.read_bytes(url), url)
    names = [field.name for field in fields(SuiteItem)]
    items = [SuiteItem(**{key: _tuple(one[key]) for key in names}) for one in found["items"]]
    return PreparedSuite(
        name=name,
        data=data,
        items=tuple(items),
        places=tuple(found["places"]),
        without_pictures=found["without_pictures"],
    )


def _items_url(folder: str, address: str) -> str:
    """Named by the address, so that a folder that is being made anew holds no two suites in one."""
    return storage.join(folder, f"suite.{address}.json")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _address_of(folder: str) -> str:
    try:
        return Manifest.read(folder).address
    except MissingInput:
        return ""


def _row(encoded: EncodedComparison, key: str) -> ShardRow:
    """Tokens and pictures without the texts that they were made of."""
    answers = tuple(
        Response((), rank=rank, score=score) for rank, score in zip(encoded.ranks, encoded.scores, strict=True)
    )
    bare = Comparison(id=encoded.id, source=encoded.source, prompt=(), responses=answers)
    whole = Segments((len(encoded.prefix_ids),), (len(encoded.images),), (0,) * len(answers))
    return ShardRow(bare, encoded, whole, key)


def _planned(row: ShardRow, shard: int, place: int, pictures: list[int]) -> dict[str, Any]:
    encoded = row.encoded
    return {
        "shard": shard,
        "row": place,
        "id": encoded.id,
        "source": encoded.source,
        "split": "heldout",
        "prefix_length": len(encoded.prefix_ids),
        "response_lengths": [len(ids) for ids in encoded.response_ids],
        "ranks": list(encoded.ranks),
        "image_rows": pictures,
        "image_patches": [span.num_patches for span in encoded.images],
        "span_frames": span_frames(encoded.images),
        "content_key": row.content_key,
        "mark": "",
        "repeats": 0,
        "dropped_turns": 0,
    }


def _write_manifest(folder: str, address: str, key: Mapping[str, Any], reading: Reading, writer: _Writer) -> None:
    rows = writer.rows
    config = asdict(PreprocessConfig(encode=reading.encode))
    config["rules"]["max_tokens"] = reading.max_tokens
    config["media"] |= {name: getattr(reading, name) for name in ("max_source_pixels", "max_source_bytes")}
    Manifest(
        schema_version=SCHEMA_VERSION,
        address=address,
        code="",
        config={"suite": dict(key), **{name: config[name] for name in ("encode", "rules", "media")}},
        tokenizer=reading.tokenizer,
        inputs=[],
        counts=Counts(seen=len(rows), kept=len(rows), by_split={"heldout": len(rows)}),
        shards=writer.shards,
        rows_file=_written(folder, f"rows.{address}.arrow", serialise(pa.Table.from_pylist(rows, ROWS_SCHEMA))),
        quarantine_file=_written(folder, f"quarantine.{address}.jsonl", b""),
    ).write(folder)


def _written(folder: str, name: str, data: bytes) -> FileInfo:
    storage.write_atomic(storage.join(folder, name), data)
    return FileInfo(name=name, sha256=hashlib.sha256(data).hexdigest())
