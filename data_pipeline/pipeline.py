"""The plan of a preprocessing, and its end. What is between, `units.run_unit`, may run anywhere.

    plan_units(config) -> work units -> run_unit each, in any order, in any number of processes -> finish -> Manifest

`prepare` does it all in this process.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.errors import CorruptData, MissingInput, RecipeError, RunError, UserError
from data_pipeline.manifest import MANIFEST, ROWS_SCHEMA, Counts, FileInfo, InputFile, Manifest, SourceCounts
from data_pipeline.shards import SCHEMA_VERSION, read_table, serialise, shard_urls
from data_pipeline.sources.readers import RowRange, split_rows
from data_pipeline.sources.records import files_of
from data_pipeline.sources.registry import adapter_of
from data_pipeline.tokenizer import load_tokenizer
from data_pipeline.units import Refusal, UnitRecord, UnitResult, WorkUnit, rows_url, run_unit, shard_folder

__all__ = ["UnitResult", "WorkUnit", "finish", "is_finished", "plan_units", "prepare", "run_unit"]

ROWS, QUARANTINE = "rows.arrow", "quarantine.jsonl"

_Place = tuple[int, int, str]
"""Unit, raw row, path: one file may be read as two sources, so the path alone does not tell records apart."""


def prepare(config: PreprocessConfig) -> Manifest:
    """Plan, run every unit one after the other, finish; a finished output is returned as it is."""
    units = plan_units(config)
    manifest = is_finished(config, units)
    if manifest is None:
        for unit in units:
            run_unit(unit, config)
        manifest = finish(config, units)
    return manifest


def plan_units(config: PreprocessConfig) -> list[WorkUnit]:
    """Cut the sources into work units. Reads every input file once, for its hash and its row count.

    Raises:
        RecipeError: no source, two of one name, or a value out of range.
        MissingInput: a source without files, an unknown shape, no tokenizer.
    """
    _check_config(config)
    tokenizer = load_tokenizer(config.tokenizer).fingerprint
    found: list[tuple[int, str, str, RowRange, str, int]] = []
    inputs: list[tuple[str, str, str]] = []
    for place, source in enumerate(config.sources):
        left = source.limit
        for url in files_of(source, config.data_root):
            ranges = _limited(split_rows(url, config.rows_per_unit), left)
            rows = sum(part.count for part in ranges)
            left = None if left is None else left - rows
            path, sha256 = _portable(url, config.data_root), storage.sha256_of(url)
            inputs.append((source.name, path, sha256))
            found += [(place, url, path, part, sha256, rows) for part in ranges]
    if not found:
        raise MissingInput(f"the files of {', '.join(s.name for s in config.sources)} hold no records at all")
    plan = _hash_of({"config": _portable_config(config), "inputs": inputs, "tokenizer": tokenizer})
    return [
        WorkUnit(
            index=index,
            source=place,
            url=url,
            path=path,
            start=part.start,
            count=part.count,
            offset=part.offset,
            file_sha256=sha256,
            file_rows=rows,
            tokenizer=tokenizer,
            plan=plan,
        )
        for index, (place, url, path, part, sha256, rows) in enumerate(found)
    ]


def is_finished(config: PreprocessConfig, units: Sequence[WorkUnit] | None = None) -> Manifest | None:
    """The manifest, if `config.output` is complete for this config and these inputs; None if there is work left.

    Args:
        units: what `plan_units(config)` gave, to save planning again.

    Raises:
        UserError: the folder holds work, finished or not, of another config, other inputs or another tokenizer.
        CorruptData: the folder is finished, but one of its files is gone.
    """
    units = plan_units(config) if units is None else units
    if not storage.exists(storage.join(config.output, MANIFEST)):
        _check_unfinished(config.output, units)
        return None
    manifest = Manifest.read(config.output)
    if manifest.plan != units[0].plan:
        raise UserError(
            f"{config.output!r} holds finished data of another config, other inputs or another tokenizer: "
            "choose another output, or delete that folder"
        )
    files = [storage.join(config.output, info.name) for info in (manifest.rows_file, manifest.quarantine_file)]
    for shard in manifest.shards:
        files += shard_urls(shard_folder(config.output), shard.name)
    for url in files:
        if not storage.exists(url):
            raise CorruptData(f"{url!r} is gone though the manifest lists it: delete {config.output!r} and run again")
    return manifest


def finish(config: PreprocessConfig, units: Sequence[WorkUnit]) -> Manifest:
    """Merge the done units in the order of the plan; of exact duplicates the first one stays.

    Raises:
        RunError: a unit is not done, or records seen are not records kept and refused.
        CorruptData: a unit's rows are not those it wrote.
    """
    records = [_done(unit, config.output) for unit in units]
    tables, refusals, seen_keys = [], [], dict[str, _Place]()
    for unit, record in zip(units, records, strict=True):
        rows = read_table(rows_url(unit, config.output), record.rows_sha256)
        kept, duplicates = _first_ones(rows, unit, seen_keys)
        tables.append(kept)
        refusals += sorted([*record.refusals, *duplicates], key=lambda refusal: refusal.row)
    table = pa.concat_tables(tables)
    rows_data = serialise(table)
    quarantine = "".join(json.dumps(asdict(one), sort_keys=True, ensure_ascii=False) + "\n" for one in refusals)
    manifest = Manifest(
        schema_version=SCHEMA_VERSION,
        plan=units[0].plan,
        config=_portable_config(config),
        tokenizer=units[0].tokenizer,
        inputs=_inputs(config, units),
        counts=_counts(config, units, records, table, refusals),
        shards=[record.shard for record in records],
        rows_file=FileInfo(name=ROWS, sha256=hashlib.sha256(rows_data).hexdigest()),
        quarantine_file=FileInfo(name=QUARANTINE, sha256=hashlib.sha256(quarantine.encode()).hexdigest()),
    )
    storage.write_atomic(storage.join(config.output, ROWS), rows_data)
    storage.write_atomic(storage.join(config.output, QUARANTINE), quarantine.encode())
    manifest.write(config.output)
    return manifest


def _check_config(config: PreprocessConfig) -> None:
    names = [source.name for source in config.sources]
    if not names:
        raise RecipeError("preprocess.sources is empty: name at least one source")
    if repeated := [name for name, count in Counter(names).items() if count > 1]:
        raise RecipeError(f"preprocess.sources has {repeated[0]!r} twice: give each source its own name")
    if config.rows_per_unit < 1:
        raise RecipeError(f"preprocess.rows_per_unit={config.rows_per_unit} must be at least 1")
    if not 0 <= config.split.heldout_fraction <= 1:
        raise RecipeError(f"split.heldout_fraction={config.split.heldout_fraction} must be from 0 to 1")
    for source in config.sources:
        adapter_of(source.shape)
        if source.limit is not None and source.limit < 1:
            raise RecipeError(f"limit={source.limit} of source {source.name!r} must be at least 1, or unset")


def _limited(ranges: Sequence[RowRange], limit: int | None) -> list[RowRange]:
    """The ranges cut off after `limit` rows."""
    if limit is None:
        return list(ranges)
    return [
        RowRange(part.start, min(part.count, limit - part.start), part.offset) for part in ranges if part.start < limit
    ]


def _portable(url: str, data_root: str) -> str:
    """`url` without what differs between machines: relative to the data root, or else the file's name."""
    if not storage.is_local(url):
        return url
    path = os.path.relpath(url, data_root) if storage.is_local(data_root) else url
    return storage.name_of(url) if os.path.isabs(path) or path.startswith("..") else path


def _portable_config(config: PreprocessConfig) -> dict[str, Any]:
    """What of the config decides the bytes of the output."""
    raw = asdict(config)
    for name in ("workers", "output", "data_root", "tokenizer"):
        del raw[name]
    for source in raw["sources"]:
        for name in ("path", "media_root"):
            if source[name] is not None and os.path.isabs(source[name]):
                source[name] = _portable(source[name], config.data_root)
    return {**raw, "schema_version": SCHEMA_VERSION}


def _hash_of(value: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _check_unfinished(output: str, units: Sequence[WorkUnit]) -> None:
    """Units of another plan may not lie beside ours, nor more of them than ours has."""
    ours = {f"{unit.name}.json": unit for unit in units}
    for url in storage.list_files(storage.join(output, "units", "*.json")):
        unit = ours.get(storage.name_of(url))
        if unit is None:
            raise UserError(
                f"{url!r} is unfinished work of another config or other inputs: choose another output, or delete "
                f"{output!r}"
            )
        UnitRecord.read(unit, output)


def _done(unit: WorkUnit, output: str) -> UnitRecord:
    record = UnitRecord.read(unit, output)
    if record is None:
        raise RunError(f"unit {unit.name} ({unit.path} from row {unit.start}) is not done: run it before finishing")
    return record


def _first_ones(rows: pa.Table, unit: WorkUnit, seen: dict[str, _Place]) -> tuple[pa.Table, list[Refusal]]:
    """The rows whose content is new, in ROWS_SCHEMA, and the others as refusals; `seen` grows: key -> where first."""
    keep, duplicates = [], []
    columns = ("content_key", "source", "id", "raw_row")
    for key, source, name, raw_row in zip(*(rows[column].to_pylist() for column in columns), strict=True):
        here = (unit.index, raw_row, unit.path)
        first = seen.setdefault(key, here)
        keep.append(first == here)
        if not keep[-1]:
            duplicates.append(
                Refusal(
                    source=source,
                    path=unit.path,
                    row=raw_row,
                    id=name,
                    reason="duplicate",
                    detail=f"same content as {first[2]} row {first[1]}",
                )
            )
    return rows.filter(pa.array(keep, pa.bool_())).select(ROWS_SCHEMA.names), duplicates


def _inputs(config: PreprocessConfig, units: Sequence[WorkUnit]) -> list[InputFile]:
    files = {
        (unit.source, unit.url): InputFile(
            source=config.sources[unit.source].name, path=unit.path, sha256=unit.file_sha256, rows=unit.file_rows
        )
        for unit in units
    }
    return list(files.values())


def _counts(
    config: PreprocessConfig,
    units: Sequence[WorkUnit],
    records: Sequence[UnitRecord],
    table: pa.Table,
    refusals: Sequence[Refusal],
) -> Counts:
    """Count independently what was seen (by units), kept (rows.arrow) and refused (quarantine), and compare."""
    by_source = {source.name: SourceCounts() for source in config.sources}
    for unit, record in zip(units, records, strict=True):
        by_source[config.sources[unit.source].name].seen += record.seen
    for found in pc.value_counts(table["source"]).to_pylist():
        by_source[found["values"]].kept = found["counts"]
    for refusal in refusals:
        by_source[refusal.source].refused += 1
    for name, counts in by_source.items():
        if counts.seen != counts.kept + counts.refused:
            raise RunError(
                f"source {name!r}: {counts.seen} records seen, but {counts.kept} kept + {counts.refused} refused"
            )
    return Counts(
        seen=sum(counts.seen for counts in by_source.values()),
        kept=len(table),
        refused=len(refusals),
        refused_by_reason=dict(sorted(Counter(refusal.reason for refusal in refusals).items())),
        by_source=by_source,
        by_split={found["values"]: found["counts"] for found in pc.value_counts(table["split"]).to_pylist()},
    )
