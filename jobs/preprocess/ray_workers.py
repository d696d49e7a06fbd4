"""Input files and work units as Ray tasks, a bounded number at once, with a progress line: workers of the pipeline."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from time import perf_counter
from types import TracebackType
from typing import Self

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.pipeline import Outcome, Plan, ThisProcess
from data_pipeline.transform.planning import FileScan, InputRef, scan_file
from data_pipeline.transform.units import UnitResult, WorkUnit
from jobs.preprocess.unit_log import UnitReport, logged_unit
from jobs.recipe.schema import ClusterConfig
from jobs.runtime.ray_session import largest_node_memory, map_bounded, open_cluster
from jobs.runtime.terminal import duration, progress, say

__all__ = ["RayWorkers", "Tally"]

SCAN_HERE_BYTES = 256_000_000
"""Inputs of fewer bytes are read through faster than a cluster starts."""
WORKER_BASE_BYTES = 600_000_000
"""What a worker holds besides a shard: libraries, tokenizer, language model (some 280 MB) and a large picture; a real
set with pictures of up to 50 million pixels took 500 MB in all."""
SHARD_COPIES = 4
"""How often a shard's bytes lie in a worker's memory while it is written."""


@dataclass(kw_only=True)
class Tally:
    """What the run has done so far, for the progress line and the summary."""

    reused: Mapping[str, UnitResult]
    """Units that an earlier run did, by address."""
    reports: list[UnitReport] = field(default_factory=list)
    num_failed: int = 0
    began_s: float = field(default_factory=perf_counter)

    @property
    def done(self) -> int:
        """Units that need no more work in this run."""
        return len(self.reused) + len(self.reports) + self.num_failed

    @property
    def speed(self) -> str:
        """Items and bytes a second of this run; bytes are those of its shards."""
        elapsed_s = max(perf_counter() - self.began_s, 1e-3)
        records = sum(report.result.seen for report in self.reports)
        megabytes = sum(report.result.bytes for report in self.reports) / 1e6
        return f"{records / elapsed_s:,.0f} records/s, {megabytes / elapsed_s:,.1f} MB/s"

    def note(self) -> str:
        """What stands behind the bar."""
        results = [*self.reused.values(), *(report.result for report in self.reports)]
        refused = sum(sum(result.refused.values()) for result in results)
        failed = f", {self.num_failed:,} units failed" if self.num_failed else ""
        return f"{self.speed}, {refused:,} refused{failed}"

    def summary(self) -> str:
        """The run in one line."""
        workers = len({(report.host, report.pid) for report in self.reports})
        largest = max(report.peak_bytes for report in self.reports)
        reused = f", {len(self.reused):,} reused" if self.reused else ""
        return (
            f"{len(self.reports):,} work units made by {workers} worker{'s' * (workers != 1)} in "
            f"{duration(perf_counter() - self.began_s)} ({self.speed}){reused}; "
            f"largest worker {largest / 1e6:,.0f} MB"
        )


class RayWorkers:
    """The recipe's cluster as `data_pipeline.pipeline.Workers`; it is opened when a task is worth it, else never.

    Use it as a context manager: the cluster is closed once the units are done, or else with the block.

    Attributes:
        tally: what `run` has done; None before.
    """

    def __init__(self, cluster: ClusterConfig) -> None:
        self.tally: Tally | None = None
        self._cluster = cluster
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def scan(self, files: Sequence[InputRef], config: PreprocessConfig) -> Generator[Outcome[InputRef, FileScan]]:
        """Read every file through, as one task each where that pays."""
        total_bytes = sum(storage.read_each(storage.size_of, [file.url for file in files]))
        if total_bytes < SCAN_HERE_BYTES:
            yield from ThisProcess().scan(files, config)
            return
        limit = self._open(config)
        outcomes = map_bounded(scan_file, files, config.rows_per_unit, limit=limit, retries=config.unit_retries)
        with closing(outcomes), progress("scan input files", len(files)) as advance:
            for done, outcome in enumerate(outcomes, start=1):
                yield outcome
                advance(done, f"{total_bytes / 1e6:,.0f} MB in all")

    def run(self, plan: Plan, config: PreprocessConfig) -> Generator[Outcome[WorkUnit, UnitReport]]:
        """Do the missing units, each tried again as `config.unit_retries` says."""
        self.tally = Tally(reused=plan.done)
        with self._opened:  # finishing needs no cluster
            if plan.missing:
                yield from self._run(plan, config, self.tally)
            else:
                say(f"filters only: {len(plan.done)} units reused")

    def _run(self, plan: Plan, config: PreprocessConfig, tally: Tally) -> Generator[Outcome[WorkUnit, UnitReport]]:
        limit = self._open(config)
        wanted = WORKER_BASE_BYTES + SHARD_COPIES * config.shard_bytes
        outcomes = map_bounded(
            logged_unit,
            plan.missing,
            config,
            limit=limit,
            retries=config.unit_retries,
            memory_bytes=min(wanted, largest_node_memory()),
        )
        total = len(plan.done) + len(plan.missing)
        tally.began_s = perf_counter()
        with closing(outcomes), progress("preprocess work units", total, tally.done) as advance:
            for outcome in outcomes:
                if outcome.result is not None:
                    tally.reports.append(outcome.result)
                else:
                    tally.num_failed += 1
                yield outcome
                advance(tally.done, tally.note())

    def _open(self, config: PreprocessConfig) -> int:
        """Open the cluster unless it is open; returns how many tasks to have under way at once."""
        info = self._opened.enter_context(open_cluster(self._cluster))
        # Tasks that find no room make the cluster grow: as many are under way as it may ever have CPUs.
        limit = config.workers or max(1, info.max_cpus)
        if info.max_cpus > info.num_cpus:
            grows = f"the cluster has {info.num_cpus:,} CPUs, and may grow to {info.max_cpus:,}"
            say(f"up to {limit:,} units at once: {grows}")
        return limit
