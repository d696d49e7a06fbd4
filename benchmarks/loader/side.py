"""What every side does in a process of its own, and how it is timed. Needs nothing but the standard library.

open, first record -> epoch 1 -> epochs 2, 3 (timed) -> contents compared
open at the middle of an epoch -> first record                              (resume)
"""

import argparse
import json
import time
from collections.abc import Iterator
from typing import Any, Protocol

from benchmarks.loader.samples import Sample

TIMED_EPOCHS = 2


class Side(Protocol):
    """A way to store samples and to read them shuffled."""

    def write(self, folder: str, count: int) -> None:
        """Write the samples."""
        ...

    def epochs(self, folder: str, resume: bool) -> Iterator[Iterator[Any]]:
        """Open, and give one iterator of records an epoch; with `resume` the first one starts at its middle."""
        ...

    def leave(self, folder: str) -> None:
        """Called at the end of the last epoch's middle: keep what `resume` needs."""
        ...

    def sample(self, record: Any) -> Sample:
        """The record's content, for comparison."""
        ...


def run(side: Side) -> None:
    """Do what the command line says; the last line printed is a JSON object."""
    parser = argparse.ArgumentParser()
    parser.add_argument("action", choices=("write", "read", "resume"))
    parser.add_argument("folder")
    parser.add_argument("count", type=int)
    options = parser.parse_args()
    start_s = time.perf_counter()
    if options.action == "write":
        side.write(options.folder, options.count)
        print(json.dumps({"write_records_per_s": options.count / (time.perf_counter() - start_s)}))
    elif options.action == "read":
        print(json.dumps(read(side, options.folder, options.count)))
    else:
        next(next(side.epochs(options.folder, resume=True)))
        print(json.dumps({"resume_s": time.perf_counter() - start_s}))


def read(side: Side, folder: str, count: int) -> dict[str, Any]:
    """Seconds to the first record, records a second of the first epoch and of the later ones, and a checksum."""
    start_s = time.perf_counter()
    epochs = side.epochs(folder, resume=False)
    records = next(epochs)
    next(records)
    first_s = time.perf_counter() - start_s
    found = 1 + sum(1 for _ in records)
    first_epoch_s = time.perf_counter() - start_s
    start_s = time.perf_counter()
    for _ in range(TIMED_EPOCHS):
        found += sum(1 for _ in next(epochs))
    seconds = time.perf_counter() - start_s
    if found != (1 + TIMED_EPOCHS) * count:
        raise SystemExit(f"{found} records in {1 + TIMED_EPOCHS} epochs of {count}")
    records, total = next(epochs), 0
    for number, record in enumerate(records):
        total += side.sample(record).checksum()
        if number + 1 == count // 2:
            side.leave(folder)
    return {
        "first_record_s": first_s,
        "first_epoch_records_per_s": count / first_epoch_s,
        "records_per_s": TIMED_EPOCHS * count / seconds,
        "checksum": total,
    }
