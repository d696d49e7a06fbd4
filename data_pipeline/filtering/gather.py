"""What the done units left in the output folder, as one table of signals in the order of the plan.

units/*.json, units/*.rows.arrow --read_units--> DoneUnits --gather--> Gathered
                                                       --benchmarks_of--> one table a benchmark
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import rows_url
from data_pipeline.dataset.shards import read_table
from data_pipeline.dataset.tables import UNIT_ROWS_SCHEMA
from data_pipeline.errors import RunError
from data_pipeline.transform.planning import all_sources
from data_pipeline.transform.units import UnitRecord, WorkUnit

__all__ = ["BenchmarkRows", "DoneUnit", "Gathered", "benchmarks_of", "gather", "read_units"]


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
    table = pa.concat_tables([UNIT_ROWS_SCHEMA.empty_table(), *(one.table for one in done)])
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
