"""Work units that kept failing: put aside as `failed/<address>.json` with their traceback, while the others go on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import failed_folder, failure_url, unit_url
from data_pipeline.transform.units import WorkUnit

__all__ = ["UnitFailure", "describe_failures", "failures", "record_failure"]

_MAX_LISTED = 20


@dataclass(frozen=True, kw_only=True)
class UnitFailure:
    """One unit that could not be done: rows [start, start + count) of `path`, how often it was tried, and the error."""

    address: str
    path: str
    start: int
    count: int
    attempts: int
    traceback: str

    @property
    def error(self) -> str:
        """The last line of the traceback: the error itself."""
        lines = self.traceback.strip().splitlines()
        return lines[-1] if lines else "no traceback: the process died"


def record_failure(unit: WorkUnit, config: PreprocessConfig, traceback: str, attempts: int) -> UnitFailure:
    """Put the unit aside; another run tries it again."""
    failure = UnitFailure(
        address=unit.address,
        path=unit.path,
        start=unit.start,
        count=unit.count,
        attempts=attempts,
        traceback=traceback,
    )
    data = json.dumps(asdict(failure), indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")
    storage.write_atomic(failure_url(unit.address, config.output), data)
    return failure


def failures(config: PreprocessConfig, units: Sequence[WorkUnit]) -> list[UnitFailure]:
    """The units of the plan that were put aside and have not been done since, in the order of the plan."""
    put_aside = {storage.name_of(url) for url in storage.list_files(failure_url("*", storage.escaped(config.output)))}
    found: list[UnitFailure] = []
    for unit in units:
        url = failure_url(unit.address, config.output)
        if storage.name_of(url) in put_aside and not storage.exists(unit_url(unit.address, config.output)):
            found.append(UnitFailure(**json.loads(storage.read_bytes(url))))
    return found


def describe_failures(failed: Sequence[UnitFailure], num_units: int, output: str) -> str:
    """The failed units, each with its rows and its error, and what to do."""
    lines = [f"{len(failed)} of {num_units} work units failed, the others are done:"]
    for failure in failed[:_MAX_LISTED]:
        rows = f"rows {failure.start} to {failure.start + failure.count - 1}"
        lines.append(f"  {failure.path} {rows}: {failure.error}")
        lines.append(f"    traceback in {failure_url(failure.address, output)}")
    if len(failed) > _MAX_LISTED:
        lines.append(f"  and {len(failed) - _MAX_LISTED} more in {failed_folder(output)}")
    return "\n".join([*lines, "remove the cause and run the same command again: it tries only these"])
