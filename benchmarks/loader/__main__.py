"""Shuffled Comparisons a second in the training process, from shards on the local disk: ours and two public loaders.

    ours        `PreparedData.encoded` in the order of a plan, shards by our writer
    arrow       the same files, read by row with pyarrow alone: what the format costs without us
    streaming   mosaicml-streaming, MDS shards
    litdata     litdata, chunks of 64 MB

The two public ones are also measured with 2 worker processes. Every run is a process of its own; the sides take turns.
Install the rivals into an environment of their own, and run from the project's root:

    python -m venv rivals && rivals/bin/pip install mosaicml-streaming litdata
    python -m benchmarks.loader --quick --rivals-python rivals/bin/python

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.goals import hardware

GOAL_RATIO = 5.0
"""Our records a second over those of the best public loader."""
LIMIT_S = 240
"""No action takes longer than this, but for one that hangs."""
RIVALS = ("streaming", "streaming-2", "litdata", "litdata-2")
"""A number is that of worker processes."""
STORES = {"ours": "ours", "arrow": "ours", **{name: name.partition("-")[0] for name in RIVALS}}
"""The folder that each side reads."""


class Sides:
    """Runs actions of sides in fresh processes.

    Args:
        folder: where samples are stored, one folder a format.
        rivals_python: an interpreter that has both public loaders.
    """

    def __init__(self, folder: str, rivals_python: str, count: int) -> None:
        self._folder = folder
        self._rivals_python = rivals_python
        self._count = count

    def run(self, side: str, action: str) -> dict[str, Any]:
        """The JSON object that the action prints."""
        ours = side in ("ours", "arrow")
        python = sys.executable if ours else self._rivals_python
        module = "benchmarks.loader.ours" if ours else "benchmarks.loader.rivals"
        store = os.path.join(self._folder, STORES[side])
        command = [python, "-m", module, side, action, store, str(self._count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if done.returncode:
            raise SystemExit(f"{side} {action} failed:\n{done.stderr or done.stdout}")
        return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(sides: Sides, repetitions: int) -> dict[str, dict[str, Any]]:
    """Medians of each side; all numbers of records a second beside them."""
    written = {side: sides.run(side, "write") for side in ("ours", "streaming", "litdata")}
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in STORES}
    for _ in range(repetitions):
        for side, found in runs.items():
            resumed = sides.run(side, "resume") if found and side != "arrow" and "-" not in side else {}
            found.append(sides.run(side, "read") | resumed)
    figures = {}
    for side, found in runs.items():
        names = sorted({name for run in found for name in run} - {"checksum"})
        figures[side] = {name: median(run[name] for run in found if name in run) for name in names}
        figures[side] |= written.get(side, {})
        figures[side]["all_records_per_s"] = [run["records_per_s"] for run in found]
    if len({run["checksum"] for found in runs.values() for run in found}) != 1:
        raise SystemExit("the sides did not give the same records")
    return figures


def summary(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    """How the sides compare."""
    best = max(RIVALS, key=lambda side: float(figures[side]["records_per_s"]))
    ours = figures["ours"]["records_per_s"]
    return {
        "ratio_best_streaming": ours / figures[best]["records_per_s"],
        "ratio_bare_arrow": ours / figures["arrow"]["records_per_s"],
        "ratio_first_epoch": figures["ours"]["first_epoch_records_per_s"]
        / max(figures[side]["first_epoch_records_per_s"] for side in RIVALS),
    }


def rival_versions(rivals_python: str) -> dict[str, str]:
    """What the rivals' environment holds."""
    script = "from importlib.metadata import version as v; print(v('mosaicml-streaming'), v('litdata'), v('torch'))"
    done = subprocess.run([rivals_python, "-c", script], capture_output=True, text=True, check=True)
    streaming, litdata, torch = done.stdout.split()
    return {"mosaicml-streaming": streaming, "litdata": litdata, "torch of the rivals": torch}


def has_rivals(python: str) -> bool:
    """Whether the interpreter can import both."""
    try:
        done = subprocess.run([python, "-c", "import streaming, litdata"], capture_output=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0


def show(figures: dict[str, dict[str, Any]], ratios: dict[str, float]) -> None:
    """A table for people."""
    names = ("records_per_s", "first_epoch_records_per_s", "first_record_s", "resume_s", "write_records_per_s")
    print(f"{'':12}" + "".join(f"{name:>27}" for name in names))
    for side, found in figures.items():
        print(f"{side:12}" + "".join(f"{found[name]:>27.3f}" if name in found else " " * 27 for name in names))
    print(", ".join(f"{name} {ratio:.2f}" for name, ratio in ratios.items()))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where the goal is missed, 2 where a rival is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.loader", description="Reading shuffled Comparisons.")
    parser.add_argument("--quick", action="store_true", help="1,000 samples and 2 repetitions")
    parser.add_argument("--samples", type=int, default=2000, help="samples of about 117 kB, default 2,000")
    parser.add_argument("--repetitions", type=int, default=3, help="processes a side, default 3")
    parser.add_argument("--rivals-python", default=sys.executable, help="an interpreter with the public loaders")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    if not has_rivals(options.rivals_python):
        print(f"{options.rivals_python} cannot import mosaicml-streaming and litdata. Install them apart:\n"
              "  python -m venv rivals && rivals/bin/pip install mosaicml-streaming litdata\n"
              "  python -m benchmarks.loader --rivals-python rivals/bin/python", file=sys.stderr)  # fmt: skip
        return 2
    count, repetitions = (1000, 2) if options.quick else (options.samples, options.repetitions)
    facts = hardware("numpy", "pyarrow", **rival_versions(options.rivals_python))
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Sides(folder, options.rivals_python, count), repetitions)
    ratios = summary(figures)
    show(figures, ratios)
    met = ratios["ratio_best_streaming"] >= GOAL_RATIO
    if options.output:
        command = " ".join(["python -m benchmarks.loader", *(sys.argv[1:] if argv is None else argv)])
        goal = {"at_least": GOAL_RATIO, "measured": ratios["ratio_best_streaming"], "met": met}
        result = {"command": command, "hardware": facts, "samples": count, "figures": figures | ratios,
                  "goals": {"ratio_best_streaming": goal}}  # fmt: skip
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    numbers = {f"{side}.{name}": value for side, found in figures.items() for name, value in found.items()
               if isinstance(value, int | float)}  # fmt: skip
    print(json.dumps({"figures": ratios | numbers, "goals": {"ratio_best_streaming": GOAL_RATIO}}))
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
