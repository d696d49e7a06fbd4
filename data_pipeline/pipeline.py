"""All steps of preprocessing, in their order; the caller decides where scans and work units run.

    check the config -> list input files -> scan each -> cut work units -> have their media changed?
        -> is the output finished? -> which units did an earlier run finish? -> run the others -> did any fail?
        -> filter and write the manifest

`Workers` run the two steps that read raw files. `ThisProcess` runs them here, one after the other; `jobs.preprocess`
runs them on Ray. Units may run anywhere and in any order: the output is the same to the byte.
"""

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Generic, Protocol, TypeVar

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import written_units
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RunError
from data_pipeline.filtering.apply import check_filters
from data_pipeline.filtering.finish import finish, is_finished
from data_pipeline.transform.failures import UnitFailure, describe_failures, record_failure
from data_pipeline.transform.loose_media import current_addresses
from data_pipeline.transform.planning import FileScan, InputRef, check_config, cut_units, input_files, scan_file
from data_pipeline.transform.units import UnitResult, WorkUnit, find_done, run_unit

__all__ = [
    "Outcome",
    "Plan",
    "Preparation",
    "ThisProcess",
    "Workers",
    "finish",
    "is_finished",
    "plan_units",
    "prepare",
    "run_pipeline",
    "run_unit",
]

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class Outcome(Generic[Item, Result]):
    """The outcome of one item that workers were given.

    Attributes:
        result: what the function returned; None where it failed.
        failure: the traceback of the last attempt; None where it succeeded.
        attempts: how often the function was called for it; a call that a dying process cut short does not count.
    """

    item: Item
    result: Result | None = None
    failure: str | None = None
    attempts: int = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a run has to do.

    Attributes:
        units: all of them, in the order of the plan.
        done: those that an earlier run did, by address.
        missing: those that are left, each address once.
    """

    units: list[WorkUnit]
    done: dict[str, UnitResult]
    missing: list[WorkUnit]


class Workers(Protocol):
    """Where files are scanned and units are run. Outcomes come in any order; closing a generator stops its work."""

    def scan(self, files: Sequence[InputRef], config: PreprocessConfig) -> Generator[Outcome[InputRef, FileScan]]:
        """`scan_file` of each file."""

    def run(self, plan: Plan, config: PreprocessConfig) -> Generator[Outcome[WorkUnit, Any]]:
        """`run_unit` of each missing unit; also called where none is missing. Nothing here reads the results: the files
        on disk count.
        """


class ThisProcess:
    """`Workers` in this process: one file and one unit after the other. The first error is raised unchanged."""

    def scan(self, files: Sequence[InputRef], config: PreprocessConfig) -> Generator[Outcome[InputRef, FileScan]]:
        """Scan the files in their order."""
        for file in files:
            yield Outcome(item=file, result=scan_file(file, config.rows_per_unit))

    def run(self, plan: Plan, config: PreprocessConfig) -> Generator[Outcome[WorkUnit, UnitResult]]:
        """Run the missing units in the order of the plan."""
        for unit in plan.missing:
            yield Outcome(item=unit, result=run_unit(unit, config))


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """A complete output: its manifest, and the plan of this run; None where the output was finished already."""

    manifest: Manifest
    plan: Plan | None


def prepare(config: PreprocessConfig) -> Manifest:
    """Preprocess in this process; a finished output is returned as it is.

    Raises:
        UserError, RunError: as for `run_pipeline`, or whatever the first failing unit raised.
    """
    return run_pipeline(config, ThisProcess()).manifest


def run_pipeline(config: PreprocessConfig, workers: Workers) -> Preparation:
    """Preprocess `config.sources` to `config.output`; work that is finished already is not repeated.

    Raises:
        UserError: a value is out of range, a source, tokenizer or shape is not there, or somebody else writes there.
        RunError: units failed (the others are done), or the counts don't add up.
        NoSpace: the disk is full.
    """
    units = plan_units(config, workers)
    manifest = is_finished(config, units)
    if manifest is not None:
        return Preparation(manifest=manifest, plan=None)
    with storage.held(config.output, "preprocess"):
        return _prepare_units(units, config, workers)


def _prepare_units(units: list[WorkUnit], config: PreprocessConfig, workers: Workers) -> Preparation:
    done = _find_done(units, config)
    missing = {unit.address: unit for unit in units if unit.address not in done}
    plan = Plan(units=units, done=done, missing=list(missing.values()))
    failed = _run_missing(plan, config, workers)
    if failed:
        raise RunError(describe_failures(failed, len(units), config.output))
    return Preparation(manifest=finish(config, units), plan=plan)


def plan_units(config: PreprocessConfig, workers: Workers | None = None) -> list[WorkUnit]:
    """Check the config, scan its input files and cut them into work units.

    Args:
        workers: where files are scanned; None: here.

    Raises:
        RecipeError: no source, two of one name, or a value out of range.
        MissingInput: a source without files, an unknown shape, no tokenizer, or no record at all.
        RunError: workers could not read a file to its end.
    """
    check_config(config)
    check_filters(config)
    files = input_files(config)
    scans: dict[str, FileScan] = {}
    with closing((workers or ThisProcess()).scan(list({file.url: file for file in files}.values()), config)) as found:
        for outcome in found:
            if outcome.result is None:
                raise RunError(f"cannot read {outcome.item.url!r} to its end:\n{outcome.failure}")
            scans[outcome.item.url] = outcome.result
    units = cut_units(config, files, scans)
    addresses = current_addresses([(unit.address, unit.media_root) for unit in units], config)
    return [replace(unit, address=address) for unit, address in zip(units, addresses, strict=True)]


def _find_done(units: Sequence[WorkUnit], config: PreprocessConfig) -> dict[str, UnitResult]:
    """The units that an earlier run did, by address."""
    written = written_units(config.output)
    candidates = {unit.address: unit for unit in units if unit.address in written}
    results = storage.read_each(lambda unit: find_done(unit, config), candidates.values())
    return {result.address: result for result in results if result is not None}


def _run_missing(plan: Plan, config: PreprocessConfig, workers: Workers) -> list[UnitFailure]:
    """Run the missing units; a failure is recorded, and the others go on."""
    failed: list[UnitFailure] = []
    with closing(workers.run(plan, config)) as outcomes:
        for outcome in outcomes:
            if outcome.failure is not None:
                failed.append(record_failure(outcome.item, config, outcome.failure, outcome.attempts))
    return failed
