"""Work units that kept failing: put aside as `failed/<address>.json` with their traceback, while the others go on."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import failure_url, unit_url
from data_pipeline.transform.units import WorkUnit

__all__ = ["UnitFailure", "failures", "record_failure"]


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
    put_aside = {storage.name_of(url) for url in storage.list_files(failure_url("*", config.output))}
    found: list[UnitFailure] = []
    for unit in units:
        url = failure_url(unit.address, config.output)
        if storage.name_of(url) in put_aside and not storage.exists(unit_url(unit.address, config.output)):
            found.append(UnitFailure(**json.loads(storage.read_bytes(url))))
    return found
