"""The whole of preprocessing in the order of its steps; what is between may run anywhere.

    input_files -> scan_file each -> plan_units -> run_unit each, in any order, in any number of processes -> finish

`prepare` does it all in this process.
"""

from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.filtering.finish import finish, is_finished
from data_pipeline.transform.planning import FileScan, InputRef, input_files, plan_units, scan_file
from data_pipeline.transform.units import UnitResult, WorkUnit, run_unit

__all__ = [
    "FileScan",
    "InputRef",
    "UnitResult",
    "WorkUnit",
    "finish",
    "input_files",
    "is_finished",
    "plan_units",
    "prepare",
    "run_unit",
    "scan_file",
]


def prepare(config: PreprocessConfig) -> Manifest:
    """Plan, run every unit one after the other, finish; a finished output is returned as it is."""
    units = plan_units(config)
    manifest = is_finished(config, units)
    if manifest is None:
        for unit in units:
            run_unit(unit, config)
        manifest = finish(config, units)
    return manifest
