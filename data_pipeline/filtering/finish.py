"""All done units to one manifest: filtering, counting, and the files that make the folder complete.

    units/*.rows.arrow --apply.apply_filters--> reasons, splits, cuts, repeats --> rows.<address>.arrow
    these rows, where `group_prompts` --grouping.groups_table--------------> groups.<address>.arrow
    units/*.json refusals + reasons ---------------------------------------> quarantine.<address>.jsonl
    counts that add up ----------------------------------------------------> manifests/<address>.json, manifest.json

No image is opened here, and no shard but for grouping, so another rule costs seconds.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from data_pipeline import __version__, storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import groups_name, manifest_url, quarantine_name, rows_name
from data_pipeline.dataset.manifest import Counts, FileInfo, InputFile, Manifest
from data_pipeline.dataset.shards import SCHEMA_VERSION, serialise
from data_pipeline.dataset.tables import REASONED, ROWS_SCHEMA
from data_pipeline.errors import CorruptData
from data_pipeline.filtering.apply import FilterResult, apply_filters
from data_pipeline.filtering.contamination import BenchmarkIndex
from data_pipeline.filtering.gather import (
    DoneUnit,
    Gathered,
    benchmarks_of,
    count,
    count_benchmarks,
    count_groups,
    gather,
    quarantine_lines,
    read_units,
)
from data_pipeline.filtering.grouping import group_records, groups_table
from data_pipeline.transform.planning import address_of, all_sources, portable_config
from data_pipeline.transform.units import WorkUnit

__all__ = ["finish", "is_finished", "manifest_address"]

logger = logging.getLogger(__name__)


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
    """The manifest, if `config.output` is complete for this config and these inputs; None if there is work left: also
    where a file is gone, whose unit is then done again, to the same bytes.
    """
    if not storage.exists(manifest_url(config.output)):
        return None
    try:
        manifest = Manifest.read(config.output)
    except CorruptData as error:
        logger.warning("%s: it is written anew", error)
        return None
    if manifest.address != manifest_address(config, units):
        return None
    urls = [url for url, _ in manifest.files(config.output)]
    return manifest if all(storage.read_each(storage.exists, urls)) else None


def finish(config: PreprocessConfig, units: Sequence[WorkUnit]) -> Manifest:
    """Filter, count and write the manifest.

    Raises:
        RunError: a unit is not done, or items seen are not items kept and refused.
        CorruptData: a unit's rows are not those it wrote.
    """
    done = read_units(units, config)
    own = [one for one in done if one.unit.source < len(config.sources)]
    gathered = gather(own)
    benchmarks = benchmarks_of([one for one in done if one.unit.source >= len(config.sources)], config)
    index = BenchmarkIndex.from_tables([(one.name, one.table) for one in benchmarks]) if benchmarks else None
    filtered = apply_filters(gathered.table, config, index)
    rows = _rows(gathered, filtered)
    quarantine = quarantine_lines(own, gathered, filtered, config)
    counts = count(config, own, rows, quarantine)
    counts.benchmarks = count_benchmarks(benchmarks, filtered)
    groups = None
    if config.group_prompts:
        shards = [shard for one in own for shard in one.record.shards]
        groups = groups_table(rows, group_records(rows, gathered.table, shards, config))
        count_groups(groups, counts)
    return _write(config, units, own, rows, groups, quarantine, counts)


def _rows(gathered: Gathered, filtered: FilterResult) -> pa.Table:
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
    schema = ROWS_SCHEMA
    if REASONED.name in table.column_names:
        schema, columns[REASONED.name] = schema.append(REASONED), table[REASONED.name]
    return pa.table([_column(columns[field.name], field.type) for field in schema], schema=schema)


def _column(values: Any, kind: pa.DataType) -> Any:
    return values if isinstance(values, pa.ChunkedArray | pa.Array) else pa.array(values, kind)


def _write(
    config: PreprocessConfig,
    units: Sequence[WorkUnit],
    own: Sequence[DoneUnit],
    rows: pa.Table,
    groups: pa.Table | None,
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
    if groups is not None:
        files[groups_name(address)] = serialise(groups)
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
        groups_file=infos[2] if groups is not None else None,
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
