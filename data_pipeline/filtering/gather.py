"""What the done units left in the output folder, as one table of signals in the order of the plan, and its counts.

units/*.json, units/*.rows.arrow --read_units--> DoneUnits --gather--> Gathered
                                                       --benchmarks_of--> one table a benchmark
    what was refused, item by item; how many items were seen, kept and refused: three counts that must add up
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import rows_url
from data_pipeline.dataset.manifest import BenchmarkCounts, Counts, SourceCounts
from data_pipeline.dataset.shards import read_table
from data_pipeline.dataset.tables import UNIT_ROWS_SCHEMA
from data_pipeline.errors import RunError
from data_pipeline.filtering.apply import FilterResult
from data_pipeline.sources.accounting import UnreadFields
from data_pipeline.transform.planning import all_sources
from data_pipeline.transform.units import Refusal, UnitRecord, WorkUnit

__all__ = [
    "BenchmarkRows",
    "DoneUnit",
    "Gathered",
    "benchmarks_of",
    "count",
    "count_benchmarks",
    "count_groups",
    "gather",
    "quarantine_lines",
    "read_units",
]


@dataclass(frozen=True)
class DoneUnit:
    """A unit with its record and its signals."""

    unit: WorkUnit
    record: UnitRecord
    table: pa.Table


@dataclass(frozen=True)
class BenchmarkRows:
    """The signals of a benchmark's items, and the units that read them."""

    name: str
    table: pa.Table
    units: list[DoneUnit]


@dataclass(frozen=True)
class Gathered:
    """All rows of all sources in plan order: signals, the place of each row's unit, and its shard in the manifest."""

    table: pa.Table
    unit: npt.NDArray[np.int64]
    shard: npt.NDArray[np.int32]


def read_units(units: Sequence[WorkUnit], config: PreprocessConfig) -> list[DoneUnit]:
    """Every unit's record and signals, in the order of `units`.

    Raises:
        RunError: a unit is not done.
        CorruptData: its record or its rows are not those it wrote.
    """
    return storage.read_each(partial(_read_unit, config=config), units)


def gather(done: Sequence[DoneUnit]) -> Gathered:
    """The rows of all units in one table."""
    table = pa.concat_tables([one.table for one in done]) if done else UNIT_ROWS_SCHEMA.empty_table()
    bases = np.cumsum([0, *(len(one.record.shards) for one in done)])
    sizes = [len(one.table) for one in done]
    unit = np.repeat(np.arange(len(done)), sizes)
    shard = table["shard"].to_numpy() + bases[unit] if len(table) else np.zeros(0)
    return Gathered(table, unit, shard.astype(np.int32))


def benchmarks_of(done: Sequence[DoneUnit], config: PreprocessConfig) -> list[BenchmarkRows]:
    """The items of each benchmark, in the order of the recipe; `done` are units of benchmarks."""
    sources = all_sources(config)
    found: list[BenchmarkRows] = []
    for source in config.decontaminate.against:
        ours = [one for one in done if sources[one.unit.source].name == source.name]
        tables = [UNIT_ROWS_SCHEMA.empty_table(), *(one.table for one in ours)]
        found.append(BenchmarkRows(source.name, pa.concat_tables(tables), ours))
    return found


def _read_unit(unit: WorkUnit, config: PreprocessConfig) -> DoneUnit:
    record = UnitRecord.read(unit.address, config.output)
    if record is None:
        raise RunError(f"unit {unit.address} ({unit.path} from row {unit.start}) is not done: run it before finishing")
    return DoneUnit(unit, record, read_table(rows_url(unit.address, config.output), record.rows_sha256))


def quarantine_lines(
    done: Sequence[DoneUnit], gathered: Gathered, filtered: FilterResult, config: PreprocessConfig
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


def count(
    config: PreprocessConfig, done: Sequence[DoneUnit], rows: pa.Table, quarantine: Sequence[dict[str, Any]]
) -> Counts:
    """Count independently what was seen (by units), kept (rows) and refused (quarantine), and compare.

    Raises:
        RunError: of a source, items seen are not items kept and refused.
    """
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
        ours = [one for one in done if config.sources[one.unit.source].name == name]
        counts.unread = UnreadFields.merged(one.record.unread for one in ours)
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


def count_benchmarks(benchmarks: Sequence[BenchmarkRows], filtered: FilterResult) -> dict[str, BenchmarkCounts]:
    """The counts of each benchmark, which are no part of those of the sources."""
    return {
        one.name: BenchmarkCounts(
            items=len(one.table),
            images=int(pc.sum(pc.list_value_length(one.table["image_keys"])).as_py() or 0),
            refused=sum(len(unit.record.refusals) for unit in one.units),
            overlaps=filtered.overlaps.get(one.name, 0),
        )
        for one in benchmarks
    }


def count_groups(groups: pa.Table, counts: Counts) -> None:
    """Add the groups of each source to `counts`.

    Raises:
        RunError: the records in them are not the kept Comparisons.
    """
    records = int(pc.sum(pc.list_value_length(groups["records"])).as_py() or 0)
    if records != counts.kept:
        raise RunError(f"{counts.kept} Comparisons are kept, but {records} are in the groups of one prompt")
    for found in pc.value_counts(groups["source"]).to_pylist():
        counts.by_source[found["values"]].groups = found["counts"]
