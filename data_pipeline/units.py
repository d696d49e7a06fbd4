"""One work unit: a range of rows of one file, to one shard and its `units/00012.json`, which is written last.

    read_rows -> to_comparison -> check -> load_image -> split_of -> encode -> shard
                        any RecordError on the way -> the unit's quarantine

A unit whose json is there, with the same fingerprint and whole files, is done and is not done again.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import pyarrow as pa

from data_pipeline import storage
from data_pipeline.clean import check, content_key, split_of
from data_pipeline.comparison import Comparison, MediaRef
from data_pipeline.config import PreprocessConfig, SourceConfig
from data_pipeline.encode import Encoder
from data_pipeline.errors import RecordError, RunError, UserError
from data_pipeline.manifest import ROWS_SCHEMA
from data_pipeline.media import Image, load_image
from data_pipeline.shards import ShardInfo, ShardRow, serialise, shard_urls, write_shard
from data_pipeline.sources.readers import read_rows
from data_pipeline.sources.registry import adapter_of
from data_pipeline.tokenizer import load_tokenizer

__all__ = ["UNIT_ROWS_SCHEMA", "Refusal", "UnitRecord", "UnitResult", "WorkUnit", "run_unit", "shard_folder"]

UNIT_ROWS_SCHEMA = ROWS_SCHEMA.append(pa.field("raw_row", pa.int64()))
"""units/00012.rows.arrow: the planning rows of one unit, and the row of the raw file that each came from."""
_MAX_DETAIL_CHARS = 500


@dataclass(frozen=True, kw_only=True)
class WorkUnit:
    """Rows [start, start + count) of one input file; small and picklable.

    Attributes:
        index: place in the plan, and the number of the shard.
        source: place of the source in the config.
        url: the file.
        path: the same, as manifest and quarantine name it.
        offset: byte where row `start` begins, 0 where unknown.
        tokenizer: sha256 of tokenizer.json.
        plan: fingerprint of config, inputs and tokenizer together.
    """

    index: int
    source: int
    url: str
    path: str
    start: int
    count: int
    offset: int
    file_sha256: str
    file_rows: int
    tokenizer: str
    plan: str

    @property
    def name(self) -> str:
        return f"{self.index:05d}"


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One line of the quarantine."""

    source: str
    path: str
    row: int
    id: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """What progress shows of a unit; `reused`: it was done already."""

    index: int
    seen: int
    kept: int
    refused: int
    reused: bool


@dataclass(frozen=True, kw_only=True)
class UnitRecord:
    """The content of ``units/00012.json``."""

    plan: str
    index: int
    seen: int
    kept: int
    refusals: list[Refusal]
    shard: ShardInfo
    rows_sha256: str

    @classmethod
    def read(cls, unit: WorkUnit, output: str) -> "UnitRecord | None":
        """The unit's record; None where it is not done.

        Raises:
            UserError: the folder holds work of another config, other inputs or another tokenizer.
        """
        url = unit_url(unit, output)
        if not storage.exists(url):
            return None
        raw = json.loads(storage.read_bytes(url))
        if raw["plan"] != unit.plan:
            raise UserError(
                f"{output!r} holds unfinished work of another config, other inputs or another tokenizer "
                f"({url!r}): choose another output, or delete that folder"
            )
        refusals = [Refusal(**refusal) for refusal in raw.pop("refusals")]
        return cls(refusals=refusals, shard=ShardInfo(**raw.pop("shard")), **raw)

    def write(self, unit: WorkUnit, output: str) -> None:
        text = json.dumps(asdict(self), indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        storage.write_atomic(unit_url(unit, output), text.encode())

    def result(self, *, reused: bool) -> UnitResult:
        return UnitResult(index=self.index, seen=self.seen, kept=self.kept, refused=len(self.refusals), reused=reused)


def unit_url(unit: WorkUnit, output: str) -> str:
    """The file whose presence makes the unit done."""
    return storage.join(output, "units", f"{unit.name}.json")


def rows_url(unit: WorkUnit, output: str) -> str:
    """The planning rows of the unit."""
    return storage.join(output, "units", f"{unit.name}.rows.arrow")


def shard_folder(output: str) -> str:
    """Where the shards of an output folder lie."""
    return storage.join(output, "shards")


def run_unit(unit: WorkUnit, config: PreprocessConfig) -> UnitResult:
    """Do one unit, or find it done. Any process may call this, for any unit, in any order.

    Raises:
        UserError: the output folder holds work of another config.
        RunError: the tokenizer is not the one the plan was made with.
    """
    done = UnitRecord.read(unit, config.output)
    if done is not None and _is_whole(done, unit, config.output):
        return done.result(reused=True)
    rows: list[ShardRow] = []
    raw_rows: list[int] = []
    refusals: list[Refusal] = []
    for raw_row, outcome in _outcomes(unit, config):
        if isinstance(outcome, Refusal):
            refusals.append(outcome)
        else:
            rows.append(outcome)
            raw_rows.append(raw_row)
    info, spans = write_shard(shard_folder(config.output), unit.name, rows)
    planning = [_planning_row(unit, i, row, spans[i], raw_rows[i]) for i, row in enumerate(rows)]
    storage.write_atomic(
        rows_url(unit, config.output), serialise(pa.Table.from_pylist(planning, schema=UNIT_ROWS_SCHEMA))
    )
    record = UnitRecord(
        plan=unit.plan,
        index=unit.index,
        seen=len(rows) + len(refusals),
        kept=len(rows),
        refusals=refusals,
        shard=info,
        rows_sha256=storage.sha256_of(rows_url(unit, config.output)),
    )
    record.write(unit, config.output)
    return record.result(reused=False)


def _outcomes(unit: WorkUnit, config: PreprocessConfig) -> Iterator[tuple[int, ShardRow | Refusal]]:
    """Each record of the unit, kept or refused, with its raw row."""
    source = config.sources[unit.source]
    prepare = _Preparer(source, _media_root(unit, source, config), config, _encoder_of(unit, config))
    for row, record in read_rows(unit.url, unit.start, unit.count, unit.offset):
        name = ""
        try:
            if isinstance(record, RecordError):
                raise record
            comparison = adapter_of(source.shape)(record, source, row)
            name = comparison.id
            yield row, prepare(comparison)
        except RecordError as error:
            yield (
                row,
                Refusal(
                    source=source.name,
                    path=unit.path,
                    row=row,
                    id=_printable(name),
                    reason=error.reason,
                    detail=_printable(error.detail)[:_MAX_DETAIL_CHARS],
                ),
            )


class _Preparer:
    """Comparison -> row of the shard; decodes an image that several records share once."""

    def __init__(self, source: SourceConfig, media_root: str, config: PreprocessConfig, encoder: Encoder) -> None:
        self._source = source
        self._media_root = media_root
        self._config = config
        self._encoder = encoder
        self._images: dict[MediaRef, Image] = {}

    def __call__(self, comparison: Comparison) -> ShardRow:
        check(comparison)
        images = [self._image(ref) for ref in comparison.media]
        hashes = [image.sha256 for image in images]
        placed = replace(comparison, split=split_of(comparison, hashes, self._config.split))
        return ShardRow(placed, self._encoder.encode(placed, images), content_key(comparison, hashes))

    def _image(self, ref: MediaRef) -> Image:
        if ref not in self._images:
            self._images[ref] = load_image(ref, self._media_root, self._config.encode)
        return self._images[ref]


def _encoder_of(unit: WorkUnit, config: PreprocessConfig) -> Encoder:
    tokenizer = _cached_tokenizer(config.tokenizer, unit.tokenizer)
    if tokenizer.fingerprint != unit.tokenizer:
        raise RunError(
            f"the tokenizer in {config.tokenizer!r} has sha256 {tokenizer.fingerprint}, the plan was made with "
            f"{unit.tokenizer}: do not change it during a run; start again"
        )
    return Encoder(tokenizer, config.encode)


# Loading Qwen2.5's vocabulary takes about half a second; a worker does hundreds of units.
_cached_tokenizer = lru_cache(maxsize=1)(lambda folder, _fingerprint: load_tokenizer(folder))


def _media_root(unit: WorkUnit, source: SourceConfig, config: PreprocessConfig) -> str:
    if source.media_root is None:
        return storage.parent_of(unit.url)
    return storage.join(config.data_root, source.media_root)


def _planning_row(unit: WorkUnit, place: int, row: ShardRow, spans: list[int], raw_row: int) -> dict[str, Any]:
    encoded = row.encoded
    return {
        "shard": unit.index,
        "row": place,
        "id": encoded.id,
        "source": encoded.source,
        "split": encoded.split,
        "prefix_length": len(encoded.prefix_ids),
        "response_lengths": [len(ids) for ids in encoded.response_ids],
        "ranks": list(encoded.ranks),
        "image_rows": spans,
        "image_patches": [image.num_patches for image in encoded.images],
        "content_key": row.content_key,
        "raw_row": raw_row,
    }


def _is_whole(record: UnitRecord, unit: WorkUnit, output: str) -> bool:
    """Whether the unit's files are there with the bytes its json promises."""
    comparisons, images = shard_urls(shard_folder(output), unit.name)
    promised = {
        comparisons: record.shard.sha256,
        images: record.shard.images_sha256,
        rows_url(unit, output): record.rows_sha256,
    }
    return all(storage.exists(url) and storage.sha256_of(url) == sha256 for url, sha256 in promised.items())


def _printable(text: str) -> str:
    """`text` as UTF-8 can hold it: a refused record may be refused for half a character."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
