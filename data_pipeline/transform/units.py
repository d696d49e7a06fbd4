"""One work unit: a range of rows of one file to its shards, its signals, and `units/<address>.json`, written last.

    read_rows -> RowBuilder.items -> rows -> shards/<address>-0.arrow, ... -> units/<address>.rows.arrow -> .json
                          `-> refusals

A unit whose json is there, with files of the promised sizes, is done and is not done again. The same unit gives the
same bytes anywhere, so two processes that do one by accident do no harm.
"""

import hashlib
import logging
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from typing import Any

import pyarrow as pa

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import rows_url, shard_folder, unit_url
from data_pipeline.dataset.shards import ShardInfo, ShardRow, serialise, write_shard
from data_pipeline.dataset.tables import UNIT_ROWS_SCHEMA, with_reasoned
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import CorruptData, RecordError, RunError, Unavailable
from data_pipeline.sources.readers.files import read_rows
from data_pipeline.transform.loose_media import UNAVAILABLE
from data_pipeline.transform.row_builder import BenchmarkRowBuilder, BuiltRow, RowBuilder

__all__ = [
    "Refusal",
    "UnitRecord",
    "UnitResult",
    "WorkUnit",
    "find_done",
    "run_unit",
]

logger = logging.getLogger(__name__)

_MAX_DETAIL_CHARS = 500
_MOST_UNAVAILABLE = 3  # addresses that are named; each takes its time to fail


@dataclass(frozen=True, kw_only=True)
class WorkUnit:
    """Rows [start, start + count) of one input file; small and picklable.

    Attributes:
        index: place in the plan.
        address: hash of everything that decides what the unit writes; names its files.
        source: place among the recipe's sources, then its benchmarks.
        url: the file.
        path: the same, as manifest and quarantine name it.
        media_root: what image paths start from.
        offset: byte where row `start` begins, 0 where unknown.
        file_rows: rows of the file that are used.
        file_repeat: how often the set's own index repeats the file.
        tokenizer: sha256 of tokenizer.json.
    """

    index: int
    address: str
    source: int
    url: str
    path: str
    media_root: str
    start: int
    count: int
    offset: int
    file_bytes: int
    file_sha256: str
    file_rows: int
    file_repeat: float
    tokenizer: str


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """One refused item of a unit: no Comparison was built of it."""

    row: int
    item: int
    id: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True)
class UnitResult:
    """What progress and logs show of a unit; `reused`: it was done already. `bytes` counts its shards."""

    address: str
    path: str
    start: int
    seen: int
    made: int
    refused: dict[str, int]
    bytes: int
    seconds: float
    reused: bool


@dataclass(frozen=True, kw_only=True)
class UnitRecord:
    """The content of ``units/<address>.json``. `unread`: records that have a field that was not read, by the field."""

    made: int
    refusals: list[Refusal]
    shards: list[ShardInfo]
    rows_bytes: int
    rows_sha256: str
    unread: dict[str, int] = field(default_factory=dict)

    @classmethod
    def read(cls, address: str, output: str) -> "UnitRecord | None":
        """The unit's record; None where it is not done.

        Raises:
            CorruptData: the file is damaged, or no record of a unit.
        """
        url = unit_url(address, output)
        if not storage.exists(url):
            return None
        try:
            raw = storage.from_json_of_any_age(storage.read_bytes(url), url)
            refusals = [Refusal(**refusal) for refusal in raw.pop("refusals")]
            return cls(refusals=refusals, shards=[ShardInfo(**shard) for shard in raw.pop("shards")], **raw)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptData(f"{url!r} is no work unit ({error}): preprocess again") from error

    def write(self, address: str, output: str) -> None:
        raw = asdict(self)
        if not self.unread:
            del raw["unread"]
        storage.write_atomic(unit_url(address, output), storage.to_checked_json(raw))

    def result(self, unit: WorkUnit, *, seconds: float, reused: bool) -> UnitResult:
        return UnitResult(
            address=unit.address,
            path=unit.path,
            start=unit.start,
            seen=self.made + len(self.refusals),
            made=self.made,
            refused=dict(Counter(refusal.reason for refusal in self.refusals)),
            bytes=sum(shard.bytes + shard.image_bytes for shard in self.shards),
            seconds=seconds,
            reused=reused,
        )


def find_done(unit: WorkUnit, config: PreprocessConfig) -> UnitResult | None:
    """What an earlier run did of the unit; None where it has to be done, also because its record is damaged."""
    started = time.perf_counter()
    try:
        record = UnitRecord.read(unit.address, config.output)
    except CorruptData as error:
        logger.warning("%s: its work unit is done again", error)
        return None
    if record is None or not _is_whole(record, unit.address, config.output):
        return None
    return record.result(unit, seconds=time.perf_counter() - started, reused=True)


def run_unit(unit: WorkUnit, config: PreprocessConfig) -> UnitResult:
    """Do one unit, or find it done. Any process may call this, for any unit, in any order.

    Raises:
        RunError: tokenizer or input are no longer those that the plan was made with.
    """
    started = time.perf_counter()
    done = find_done(unit, config)
    if done is not None:
        return done
    if storage.size_of(unit.url) != unit.file_bytes:
        raise RunError(f"{unit.url!r} has changed since the plan was made: run again once it is complete")
    record = _UnitWriter(unit, config).run()
    record.write(unit.address, config.output)
    return record.result(unit, seconds=time.perf_counter() - started, reused=False)


class _UnitWriter:
    """Rows gathered until a shard is full; then its two files are written and memory is given back."""

    def __init__(self, unit: WorkUnit, config: PreprocessConfig) -> None:
        self._unit = unit
        self._config = config
        self._waiting: list[ShardRow] = []
        self._waiting_signals: list[dict[str, Any]] = []
        self._waiting_bytes = 0
        self._signals: list[pa.Table] = []
        self._shards: list[ShardInfo] = []
        self._refusals: list[Refusal] = []
        self._unavailable: list[str] = []
        self._builder = _builder_of(unit, config)
        of_benchmark = unit.source >= len(config.sources)
        self._schema = with_reasoned(UNIT_ROWS_SCHEMA, "none" if of_benchmark else config.encode.reasonings)

    def run(self) -> UnitRecord:
        unit = self._unit
        for row, record in read_rows(unit.url, unit.start, unit.count, unit.offset):
            try:
                outcomes = [("", record)] if isinstance(record, RecordError) else self._builder.items(record, row)
                for item, (name, outcome) in enumerate(outcomes):
                    if isinstance(outcome, RecordError):
                        self._refuse(row, item, name, outcome)
                    else:
                        self._keep(row, item, outcome)
            except Unavailable as error:
                self._unavailable.append(str(error))
                if len(self._unavailable) == _MOST_UNAVAILABLE:
                    break
        if self._unavailable:
            raise Unavailable(
                f"media can't be had: {'; '.join(self._unavailable)}; "
                "media.unavailable=refuse would refuse their records"
            )
        self._flush()
        table = pa.concat_tables([self._schema.empty_table(), *self._signals])
        data = serialise(table)
        storage.write_atomic(rows_url(unit.address, self._config.output), data)
        unavailable = any(refusal.reason == UNAVAILABLE for refusal in self._refusals)
        self._builder.loose.write(unit.address, self._config.output, unavailable=unavailable)
        return UnitRecord(
            made=len(table),
            refusals=self._refusals,
            shards=self._shards,
            rows_bytes=len(data),
            rows_sha256=hashlib.sha256(data).hexdigest(),
            unread=dict(self._builder.unread),
        )

    def _refuse(self, row: int, item: int, name: str, error: RecordError) -> None:
        detail = _printable(error.detail)[:_MAX_DETAIL_CHARS]
        name = _printable(name)[:_MAX_DETAIL_CHARS]
        self._refusals.append(Refusal(row=row, item=item, id=name, reason=error.reason, detail=detail))

    def _keep(self, row: int, item: int, built: BuiltRow) -> None:
        signals = {**built.signals, "raw_row": row, "item": item, "file_repeat": self._unit.file_repeat}
        if built.shard_row is None:
            rows = [{**signals, "shard": 0, "row": 0, "image_rows": []}]
            self._signals.append(pa.Table.from_pylist(rows, self._schema))
            return
        if self._waiting and self._waiting_bytes + built.shard_row.num_bytes > self._config.shard_bytes:
            self._flush()
        self._waiting.append(built.shard_row)
        self._waiting_signals.append(signals)
        self._waiting_bytes += built.shard_row.num_bytes

    def _flush(self) -> None:
        if not self._waiting:
            return
        place = len(self._shards)
        info, spans = write_shard(shard_folder(self._config.output), f"{self._unit.address}-{place}", self._waiting)
        self._shards.append(info)
        rows = [
            {**signals, "shard": place, "row": row, "image_rows": spans[row]}
            for row, signals in enumerate(self._waiting_signals)
        ]
        self._signals.append(pa.Table.from_pylist(rows, self._schema))
        self._waiting, self._waiting_signals, self._waiting_bytes = [], [], 0
        self._builder.forget()


def _builder_of(unit: WorkUnit, config: PreprocessConfig) -> RowBuilder | BenchmarkRowBuilder:
    if unit.source >= len(config.sources):
        source = config.decontaminate.against[unit.source - len(config.sources)]
        return BenchmarkRowBuilder(source, unit.media_root, config.media)
    return RowBuilder(config.sources[unit.source], unit.media_root, config, _encoder_of(unit, config))


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


def _is_whole(record: UnitRecord, address: str, output: str) -> bool:
    """Whether the unit's files are there with the sizes its json promises; readers check the bytes themselves."""
    promised = [(rows_url(address, output), record.rows_bytes)]
    promised += [(file.url, file.bytes) for shard in record.shards for file in shard.files(output)]
    return all(storage.exists(url) and storage.size_of(url) == size for url, size in promised)


def _printable(text: str) -> str:
    """`text` as UTF-8 can hold it: a refused record may be refused for half a character."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
