"""Run one work unit in a worker process, and log where it ran and how long it took.

Runs in Ray's worker processes and imports nothing heavy. Logs are no part of the output: they hold hosts and times.
"""

import os
import resource
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from data_pipeline import storage
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.layout import log_url
from data_pipeline.shown import masked
from data_pipeline.transform.units import UnitResult, WorkUnit, run_unit

__all__ = ["UnitReport", "logged_unit", "peak_memory"]


@dataclass(frozen=True, kw_only=True)
class UnitReport:
    """What the driver gets of a finished unit.

    Attributes:
        host: name of the machine that did it.
        pid: process there.
        peak_bytes: most memory that process has held so far.
    """

    result: UnitResult
    host: str
    pid: int
    peak_bytes: int


def logged_unit(unit: WorkUnit, config: PreprocessConfig) -> UnitReport:
    """`run_unit`, with a log that is written when it begins and again when it ends or fails.

    Raises:
        Exception: whatever `run_unit` raises.
    """
    host, pid, url = socket.gethostname(), os.getpid(), log_url(unit.address, config.output)
    last_row = unit.start + unit.count - 1
    head = f"unit     {unit.address}\ninput    {unit.path} rows {unit.start} to {last_row}\nhost     {host} pid {pid}\n"
    _write(url, f"{head}started  {_now()}\n")
    started_at, begin = _now(), time.perf_counter()
    try:
        result = run_unit(unit, config)
    except Exception as error:
        failed = f"failed   {_now()} after {time.perf_counter() - begin:.2f} s: {type(error).__name__}: {error}\n"
        _write(url, f"{head}started  {started_at}\n{failed}")
        raise
    peak_bytes = peak_memory()
    _write(url, f"{head}started  {started_at}\nended    {_now()}\n{_account(result, peak_bytes)}")
    return UnitReport(result=result, host=host, pid=pid, peak_bytes=peak_bytes)


def peak_memory() -> int:
    """Most bytes that this process has held in memory so far."""
    status = Path("/proc/self/status")
    if status.exists():
        # Linux hands ru_maxrss on to what a process starts, so a small worker of a large parent would look large.
        kilobytes = next(line.split()[1] for line in status.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(kilobytes) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def _account(result: UnitResult, peak_bytes: int) -> str:
    refused = "".join(f"refused  {count} {reason}\n" for reason, count in sorted(result.refused.items()))
    return (
        f"seconds  {result.seconds:.2f}\nseen     {result.seen}\nkept     {result.made}\n{refused}"
        f"bytes    {result.bytes}\npeak     {peak_bytes / 1e6:.0f} MB\n"
    )


def _write(url: str, text: str) -> None:
    storage.write_atomic(url, masked(text).encode("utf-8", "backslashreplace"))


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
