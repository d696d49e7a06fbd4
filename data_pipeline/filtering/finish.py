"""All done units to one manifest: filtering, counting, and the files that make the folder complete.

    units/*.rows.arrow --apply.apply_filters--> reasons, splits, cuts, repeats --> rows.<address>.arrow
    units/*.json refusals + reasons ---------------------------------------> quarantine.<address>.jsonl
    counts that add up ----------------------------------------------------> manifests/<address>.json, manifest.json

No shard and no image is opened here, so another rule costs seconds.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import __version__, storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import (
    manifest_url,
    quarantine_name,
    rows_name,
    rows_url,
)
from data_pipeline.dataset.manifest import (
    BenchmarkCounts,
    Counts,
    FileInfo,
    InputFile,
    Manifest,
    SourceCounts,
)
from data_pipeline.dataset.shards import SCHEMA_VERSION, read_table, serialise
from data_pipeline.dataset.tables import ROWS_SCHEMA, UNIT_ROWS_SCHEMA
from data_pipeline.errors import CorruptData, RunError
from data_pipeline.filtering.apply import FilterResult, apply_filters
from data_pipeline.filtering.contamination import BenchmarkIndex
from data_pipeline.transform.planning import address_of, all_sources, portable_config
from data_pipeline.transform.units import Refusal, UnitRecord, WorkUnit

__all__ = ["finish", "is_finished", "manifest_address"]


def manifest_address(config: PreprocessConfig, units: Sequence[WorkUnit]) -> str:
    """The address of the manifest that `finish` will write: units in order, and the settings of the filters."""
    return address_of(
        {
            "schema_version": SCHEMA_VERSION,
            "units": [[unit.address, unit.path, unit.start, unit.count] for unit in units],
            "config": portable_config(config),
        }
    )


def is_finished(config: PreprocessConfig, units: Sequence[WorkUnit]) -> Manifest | None:
    """The manifest, if `config.output` is complete for this config and these inputs; None if there is work left.

    Raises:
        CorruptData: the folder is finished, but one of its files is gone.
    """
    if not storage.exists(manifest_url(config.output)):
        return None
    manifest = Manifest.read(config.output)
    if manifest.address != manifest_address(config, units):
        return None
    for url, _ in manifest.files(config.output):
        if not storage.exists(url):
            raise CorruptData(f"{url!r} is gone though the manifest lists it: delete {config.output!r} and run again")
    return manifest


def finish(config: PreprocessConfig, units: Sequence[WorkUnit]) -> Manifest:
    """Filter, count and write the manifest.

    Raises:
        RunError: a unit is not done, or items seen are not items kept and refused.
        CorruptData: a unit's rows are not those it wrote.
    """
    done = storage.read_each(partial(_done, config=config), units)
    own = [one for one in done if one.unit.source < len(config.sources)]
    gathered = _gather(own)
    benchmarks = _benchmarks([one for one in done if one.unit.source >= len(config.sources)], config)
    index = BenchmarkIndex.from_tables([(name, table) for name, table, _ in benchmarks]) if benchmarks else None
    filtered = apply_filters(gathered.table, config, index)
    rows = _rows(gathered, filtered)
    quarantine = _quarantine(own, gathered, filtered, config)
    counts = _counts(config, own, rows, quarantine)
    counts.benchmarks = _benchmark_counts(benchmarks, filtered)
    return _write(config, units, own, rows, quarantine, counts)


@dataclass(frozen=True)
class _Done:
    """A unit with its record and its signals."""

    unit: WorkUnit
    record: UnitRecord
    table: pa.Table


@dataclass(frozen=True)
class _Gathered:
    """All rows of all sources in plan order: signals, the place of each row's unit, and its shard in the manifest."""

    table: pa.Table
    unit: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int32]


def _done(unit: WorkUnit, config: PreprocessConfig) -> _Done:
    record = UnitRecord.read(unit.address, config.output)
    if record is None:
        raise RunError(f"unit {unit.address} ({unit.path} from row {unit.start}) is not done: run it before finishing")
    return _Done(unit, record, read_table(rows_url(unit.address, config.output), record.rows_sha256))


def _gather(done: Sequence[_Done]) -> _Gathered:
    table = pa.concat_tables([UNIT_ROWS_SCHEMA.empty_table(), *(one.table for one in done)])
    bases = np.cumsum([0, *(len(one.record.shards) for one in done)])
    sizes = [len(one.table) for one in done]
    unit = np.repeat(np.arange(len(done)), sizes)
    shard = table["shard"].to_numpy() + bases[unit] if len(table) else np.zeros(0)
    return _Gathered(table, unit, shard.astype(np.int32))


def _rows(gathered: _Gathered, filtered: FilterResult) -> pa.Table:
    table = gathered.table
    same = ("row", "id", "source", "ranks", "image_rows", "image_patches", "span_frames", "content_key")
    columns: dict[str, Any] = {name: table[name] for name in same}
    columns |= {
        "shard": gathered.shard,
        "split": filtered.splits,
        "prefix_length": filtered.prefix_length,
        "response_lengths": filtered.response_lengths,
        "mark": filtered.reasons,
        "repeats": filtered.repeats,
        "dropped_turns": filtered.dropped_turns,
    }
    return pa.table([_column(columns[field.name], field.type) for field in ROWS_SCHEMA], schema=ROWS_SCHEMA)


def _column(values: Any, kind: pa.DataType) -> Any:
    return values if isinstance(values, pa.ChunkedArray | pa.Array) else pa.array(values, kind)


def _quarantine(
    done: Sequence[_Done], gathered: _Gathered, filtered: FilterResult, config: PreprocessConfig
) -> list[dict[str, Any]]:
    """Every refused item, in plan order: those of which nothing was built, and those a filter refused."""
    found: list[tuple[int, Refusal]] = []
    for place, one in enumerate(done):
        found += [(place, refusal) for refusal in one.record.refusals]
    refused = [i for i, reason in enumerate(filtered.reasons) if reason]
    part = gathered.table.take(pa.array(refused, pa.int64())).select(["raw_row", "item", "id"]).to_pylist()
    for i, row in zip(refused, part, strict=True):
        found.append(
            (
                int(gathered.unit[i]),
                Refusal(
                    row=row["raw_row"],
                    item=row["item"],
                    id=row["id"],
                    reason=filtered.reasons[i],
                    detail=filtered.details[i],
                ),
            )
        )
    found.sort(key=lambda pair: (pair[0], pair[1].row, pair[1].item))
    return [
        {"source": config.sources[done[place].unit.source].name, "path": done[place].unit.path, **asdict(refusal)}
        for place, refusal in found
    ]


def _counts(
    config: PreprocessConfig, done: Sequence[_Done], rows: pa.Table, quarantine: Sequence[dict[str, Any]]
) -> Counts:
    """Count independently what was seen (by units), kept (rows) and refused (quarantine), and compare."""
    by_source = {source.name: SourceCounts() for source in config.sources}
    for one in done:
        by_source[config.sources[one.unit.source].name].seen += one.record.made + len(one.record.refusals)
    kept = rows.filter(pc.equal(rows["mark"], ""))
    for found in pc.value_counts(kept["source"]).to_pylist():
        by_source[found["values"]].kept = found["counts"]
    shown = kept.filter(pc.equal(kept["split"], "train")).group_by("source").aggregate([("repeats", "sum")])
    for found in shown.to_pylist():
        by_source[found["source"]].shown = found["repeats_sum"]
    for name, counts in by_source.items():
        reasons = Counter(line["reason"] for line in quarantine if line["source"] == name)
        counts.refused_by_reason = dict(sorted(reasons.items()))
        counts.refused = reasons.total()
        if counts.seen != counts.kept + counts.refused:
            raise RunError(
                f"source {name!r}: {counts.seen} items seen, but {counts.kept} kept + {counts.refused} refused"
            )
    return Counts(
        seen=sum(counts.seen for counts in by_source.values()),
        kept=len(kept),
        refused=len(quarantine),
        refused_by_reason=dict(sorted(Counter(line["reason"] for line in quarantine).items())),
        by_source=by_source,
        by_split={
            found["values"]: found["counts"]
            for found in sorted(pc.value_counts(kept["split"]).to_pylist(), key=lambda one: str(one["values"]))
        },
    )


def _benchmarks(done: Sequence[_Done], config: PreprocessConfig) -> list[tuple[str, pa.Table, list[_Done]]]:
    sources = all_sources(config)
    found: list[tuple[str, pa.Table, list[_Done]]] = []
    for source in config.decontaminate.against:
        ours = [one for one in done if sources[one.unit.source].name == source.name]
        tables = [UNIT_ROWS_SCHEMA.empty_table(), *(one.table for one in ours)]
        found.append((source.name, pa.concat_tables(tables), ours))
    return found


def _benchmark_counts(
    benchmarks: Sequence[tuple[str, pa.Table, list[_Done]]], filtered: FilterResult
) -> dict[str, BenchmarkCounts]:
    return {
        name: BenchmarkCounts(
            items=len(table),
            images=int(pc.sum(pc.list_value_length(table["image_keys"])).as_py() or 0),
            refused=sum(len(one.record.refusals) for one in done),
            overlaps=filtered.overlaps.get(name, 0),
        )
        for name, table, done in benchmarks
    }


def _write(
    config: PreprocessConfig,
    units: Sequence[WorkUnit],
    own: Sequence[_Done],
    rows: pa.Table,
    quarantine: Sequence[dict[str, Any]],
    counts: Counts,
) -> Manifest:
    address = manifest_address(config, units)
    files = {
        rows_name(address): serialise(rows),
        quarantine_name(address): "".join(
            json.dumps(line, sort_keys=True, ensure_ascii=False) + "\n" for line in quarantine
        ).encode(),
    }
    infos = [FileInfo(name=name, sha256=hashlib.sha256(data).hexdigest()) for name, data in files.items()]
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        address=address,
        code=__version__,
        config=portable_config(config),
        tokenizer=units[0].tokenizer,
        inputs=_inputs(config, units),
        counts=counts,
        shards=[shard for one in own for shard in one.record.shards],
        rows_file=infos[0],
        quarantine_file=infos[1],
    )
    for name, data in files.items():
        storage.write_atomic(storage.join(config.output, name), data)
    manifest.write(config.output)
    return manifest


def _inputs(config: PreprocessConfig, units: Sequence[WorkUnit]) -> list[InputFile]:
    sources = all_sources(config)
    files = {
        (unit.source, unit.url): InputFile(
            source=sources[unit.source].name,
            path=unit.path,
            bytes=unit.file_bytes,
            sha256=unit.file_sha256,
            rows=unit.file_rows,
        )
        for unit in units
    }
    return list(files.values())
