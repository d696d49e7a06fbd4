"""`basereward preprocess`: raw records to Arrow shards.

    input files --scan, a Ray task a file--> work units --Ray tasks, a bounded number at once--> shards, signals, logs
                                                  `--> failed/<address>.json where a unit keeps failing
    all units done --finish, here--> marks, counts, manifest

A finished output is left as it is; a killed or failed run keeps its finished units; where only rules changed no unit is
done again and no cluster is started.
"""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from time import perf_counter

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RunError
from data_pipeline.pipeline import (
    FileScan,
    UnitResult,
    WorkUnit,
    finish,
    input_files,
    is_finished,
    plan_units,
    scan_file,
)
from data_pipeline.transform.failures import UnitFailure, failure_url, record_failure
from data_pipeline.transform.units import find_done
from jobs.pages.data_page import write_data_page
from jobs.preprocess.unit_log import UnitReport, logged_unit
from jobs.recipe.schema import ClusterConfig, Recipe, with_absolute_paths
from jobs.runtime.ray_session import largest_node_memory, map_bounded, open_cluster
from jobs.runtime.terminal import columns, duration, progress, say

__all__ = ["run"]

SCAN_HERE_BYTES = 256_000_000
"""Inputs of fewer bytes are read through faster than a cluster starts."""
WORKER_BASE_BYTES = 600_000_000
"""What a worker holds besides a shard: libraries, tokenizer, language model (some 280 MB) and a large picture; a real
set with pictures of up to 50 million pixels took 500 MB in all."""
SHARD_COPIES = 4
"""How often a shard's bytes lie in a worker's memory while it is written."""
_STORAGE_THREADS = 16
_MAX_LISTED_FAILURES = 20


def run(recipe: Recipe) -> None:
    """Prepare `recipe.preprocess.output`.

    Raises:
        UserError: a source, tokenizer or shape is not there.
        NoSpace: the disk is full.
        RunError: units kept failing (the others are done), or the counts don't add up.
    """
    config = with_absolute_paths(recipe.preprocess, "data_root", "output", "tokenizer")
    output = recipe.preprocess.output
    with ExitStack() as stack:
        units = plan_units(config, scan_inputs(config, recipe.cluster, stack))
        manifest = is_finished(config, units)
        if manifest is not None:
            say(f"{output} is finished already: nothing to do")
            show(output, manifest)
            return
        tally = Tally(found=find_finished(units, config))
        missing = list({unit.address: unit for unit in units if unit.address not in tally.found}.values())
        if missing:
            cluster = stack.enter_context(open_cluster(recipe.cluster))
            make_units(missing, config, config.workers or max(1, cluster.num_cpus), tally)
        else:
            say(f"marks only: {len(tally.found)} units reused")
    if tally.failed:
        raise RunError(describe_failures(tally.failed, len(units), output))
    manifest = finish(config, units)
    page = write_data_page(config.output)
    show(output, manifest)
    say(f"page of the data: {page}")
    if missing:
        say(tally.summary())


@dataclass(kw_only=True)
class Tally:
    """What the run has done so far, for the progress line and the summary."""

    found: dict[str, UnitResult]
    """Units that an earlier run did, by address."""
    made: list[UnitReport] = field(default_factory=list)
    failed: list[UnitFailure] = field(default_factory=list)
    began_s: float = field(default_factory=perf_counter)

    @property
    def done(self) -> int:
        """Units that need no more work in this run."""
        return len(self.found) + len(self.made) + len(self.failed)

    @property
    def speed(self) -> str:
        """Items and bytes a second of this run; bytes are those of its shards."""
        elapsed_s = max(perf_counter() - self.began_s, 1e-3)
        records = sum(report.result.seen for report in self.made)
        megabytes = sum(report.result.bytes for report in self.made) / 1e6
        return f"{records / elapsed_s:,.0f} records/s, {megabytes / elapsed_s:,.1f} MB/s"

    def note(self) -> str:
        """What stands behind the bar."""
        results = [*self.found.values(), *(report.result for report in self.made)]
        refused = sum(sum(result.refused.values()) for result in results)
        failed = f", {len(self.failed):,} units failed" if self.failed else ""
        return f"{self.speed}, {refused:,} refused{failed}"

    def summary(self) -> str:
        """The run in one line."""
        workers = len({(report.host, report.pid) for report in self.made})
        largest = max(report.peak_bytes for report in self.made)
        reused = f", {len(self.found):,} reused" if self.found else ""
        return (
            f"{len(self.made):,} work units made by {workers} worker{'s' * (workers != 1)} in "
            f"{duration(perf_counter() - self.began_s)} ({self.speed}){reused}; largest worker {largest / 1e6:,.0f} MB"
        )


def scan_inputs(config: PreprocessConfig, cluster: ClusterConfig, stack: ExitStack) -> dict[str, FileScan]:
    """What planning needs of each input file, by url; read on the cluster where that pays."""
    refs = list({ref.url: ref for ref in input_files(config)}.values())
    with ThreadPoolExecutor(_STORAGE_THREADS) as pool:
        total_bytes = sum(pool.map(storage.size_of, [ref.url for ref in refs]))
    if total_bytes < SCAN_HERE_BYTES:
        return {ref.url: scan_file(ref, config.rows_per_unit) for ref in refs}
    info = stack.enter_context(open_cluster(cluster))
    limit = config.workers or max(1, info.num_cpus)
    scans: dict[str, FileScan] = {}
    outcomes = map_bounded(scan_file, refs, config.rows_per_unit, limit=limit, retries=config.unit_retries)
    with closing(outcomes), progress("scan input files", len(refs)) as advance:
        for outcome in outcomes:
            if outcome.result is None:
                raise RunError(f"cannot read {outcome.item.url!r} to its end:\n{outcome.failure}")
            scans[outcome.item.url] = outcome.result
            advance(len(scans), f"{total_bytes / 1e6:,.0f} MB in all")
    return scans


def find_finished(units: Iterable[WorkUnit], config: PreprocessConfig) -> dict[str, UnitResult]:
    """The units that an earlier run did, by address."""
    written = storage.list_files(storage.join(config.output, "units", "*.json"))
    names = {storage.name_of(url).removesuffix(".json") for url in written}
    candidates = [unit for unit in {unit.address: unit for unit in units}.values() if unit.address in names]
    with ThreadPoolExecutor(_STORAGE_THREADS) as pool:
        results = pool.map(lambda unit: find_done(unit, config), candidates)
        return {result.address: result for result in results if result is not None}


def make_units(missing: Sequence[WorkUnit], config: PreprocessConfig, limit: int, tally: Tally) -> None:
    """Do the missing units on the open cluster; one that keeps failing is put aside, and the others go on."""
    total = tally.done + len(missing)
    wanted = WORKER_BASE_BYTES + SHARD_COPIES * config.shard_bytes
    outcomes = map_bounded(
        logged_unit,
        missing,
        config,
        limit=limit,
        retries=config.unit_retries,
        memory_bytes=min(wanted, largest_node_memory()),
    )
    tally.began_s = perf_counter()
    with closing(outcomes), progress("preprocess work units", total, tally.done) as advance:
        for outcome in outcomes:
            if outcome.result is not None:
                tally.made.append(outcome.result)
            else:
                assert outcome.failure is not None
                tally.failed.append(record_failure(outcome.item, config, outcome.failure, outcome.attempts))
            advance(tally.done, tally.note())


def describe_failures(failed: Sequence[UnitFailure], num_units: int, output: str) -> str:
    """The failed units, each with its rows and its error, and what to do."""
    lines = [f"{len(failed)} of {num_units} work units failed, the others are done:"]
    for failure in failed[:_MAX_LISTED_FAILURES]:
        rows = f"rows {failure.start} to {failure.start + failure.count - 1}"
        lines.append(f"  {failure.path} {rows}: {failure.error}")
        lines.append(f"    traceback in {failure_url(failure.address, output)}")
    if len(failed) > _MAX_LISTED_FAILURES:
        lines.append(f"  and {len(failed) - _MAX_LISTED_FAILURES} more in {storage.join(output, 'failed')}")
    return "\n".join([*lines, "remove the cause and run the same command again: it tries only these"])


def show(output: str, manifest: Manifest) -> None:
    """The counts of each source and of each reason, and the manifest's address."""
    counts = manifest.counts
    rows: list[tuple[str, ...]] = []
    for name, source in counts.by_source.items():
        rows.append((name, f"{source.seen:,}", f"{source.kept:,}", f"{source.refused:,}", f"{source.shown:,}"))
        rows += [(f"  {reason}", "", "", f"{count:,}", "") for reason, count in source.refused_by_reason.items()]
    shown = sum(source.shown for source in counts.by_source.values())
    rows.append(("all", f"{counts.seen:,}", f"{counts.kept:,}", f"{counts.refused:,}", f"{shown:,}"))
    columns(f"Comparisons in {output}", ("source", "seen", "kept", "refused", "shown an epoch"), rows, numbers=True)
    splits = ", ".join(f"{number:,} {split}" for split, number in sorted(counts.by_split.items()))
    say(f"kept: {splits or 'nothing'}; manifest {manifest.address}")
