"""What was refused, item by item, and how many items were seen, kept and refused: three counts that must add up."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.manifest import BenchmarkCounts, Counts, SourceCounts
from data_pipeline.errors import RunError
from data_pipeline.filtering.apply import FilterResult
from data_pipeline.filtering.finish import BenchmarkRows, DoneUnit, Gathered
from data_pipeline.transform.units import Refusal

__all__ = ["count", "count_benchmarks", "quarantine_lines"]


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
