"""Preprocessing against `datasets.map` with Hugging Face's processor and against its own bare kernels, in one run.

    ours         plan_units, run_unit over two processes, finish: checks, signals, shards, filters, manifest
    hf_datasets  datasets.map(num_proc=2), Hugging Face's image processor and tokenizer
    kernels      decode, resize, tokenise in a loop over two processes: what no program can leave out

All three read the same records on the same two cores, in turns. From the project's root:

    BASEREWARD_REAL_DATA=FOLDER python -m benchmarks.preprocess --quick --tokenizer FOLDER

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.goals import hardware
from benchmarks.preprocess.records import Work, make_work, repeated
from benchmarks.preprocess.sides import (
    PROCESSES,
    HfDatasets,
    Run,
    bytes_below,
    fresh_pool,
    kernels,
    ours,
    peak_of_one_worker,
)
from data_pipeline.config import PreprocessConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.pipeline import prepare

GOALS: dict[str, tuple[str, float]] = {
    "ratio_hf_datasets": ("at_least", 2.2),
    "ratio_kernels": ("at_least", 0.8),
    "disk_ratio": ("at_most", 1.1),
    "peak_growth_4x": ("at_most", 1.15),
}


def measure(work: Work, scratch: Path, *, rows_per_unit: int, repetitions: int) -> dict[str, Any]:
    """Speed of the three sides; they take turns, so that a busy moment of the machine meets all of them."""
    output = str(scratch / "ours")
    runs: dict[str, list[Run]] = {"ours": [], "hf_datasets": [], "kernels": []}
    starts_s: list[float] = []
    rival = HfDatasets(work, str(scratch / "hf"))
    for _ in range(repetitions):
        with fresh_pool(work, scratch) as (pool, start_s):
            run, manifest = ours(work, output, rows_per_unit, pool)
        assert manifest.counts.seen == work.count
        starts_s.append(start_s)
        runs["ours"].append(run)
        runs["hf_datasets"].append(rival.run())
        with fresh_pool(work, scratch) as (pool, _):
            runs["kernels"].append(kernels(work, rows_per_unit, pool))
    figures: dict[str, Any] = {"ours_start_s": median(starts_s), "hf_datasets_start_s": rival.start_s}
    for name, found in runs.items():
        wall_s = median(run.wall_s for run in found)
        figures[f"{name}_comparisons_per_s"] = work.count / wall_s
        figures[f"{name}_mb_per_s"] = work.input_bytes / wall_s / 1e6
        figures[f"{name}_all_s"] = [run.wall_s for run in found]
        figures[f"{name}_cpu_ms_a_comparison"] = median(run.cpu_s for run in found) / work.count * 1e3
        figures[f"{name}_kb_a_comparison"] = found[0].output_bytes / work.count / 1e3
    for stage in runs["ours"][0].stages:
        figures[f"ours_{stage}_s"] = median(run.stages[stage] for run in runs["ours"])
    for name in ("hf_datasets", "kernels"):
        pairs = list(zip(runs["ours"], runs[name], strict=True))
        figures[f"ratio_{name}"] = median(their.wall_s / our.wall_s for our, their in pairs)
        figures[f"ratio_{name}_in_cpu_s"] = median(their.cpu_s / our.cpu_s for our, their in pairs)
    return figures


def disk(work: Work, scratch: Path) -> dict[str, float]:
    """Bytes on disk against what has to be kept: each distinct image file once, and four bytes a token.

    An image is stored once a shard, so one that comes in several units is stored several times; `image_copies` says how
    often that is in this set, with the units of a recipe that does not say otherwise.
    """
    output = str(scratch / "disk")
    rows_per_unit = PreprocessConfig().rows_per_unit
    prepare(work.config(output, rows_per_unit))
    data = PreparedData.open(output)
    tokens = sum(data.encoded(index).num_tokens for index in range(len(data)))
    raw = {path: os.path.getsize(path) for path in work.images()}
    names = [os.path.join(work.folder, row["image"]) for row in work.rows()]
    units = [set(names[start : start + rows_per_unit]) for start in range(0, len(names), rows_per_unit)]
    copies = sum(raw[path] for unit in units for path in unit)
    on_disk = bytes_below(output)
    return {
        "disk_ratio": on_disk / (sum(raw.values()) + 4 * tokens),
        "disk_ratio_once_a_unit": on_disk / (copies + 4 * tokens),
        "disk_rows_per_unit": rows_per_unit,
        "image_copies": copies / sum(raw.values()),
    }


def memory(scratch: Path, *, count: int, rows_per_unit: int, tokenizer: str | None) -> dict[str, float]:
    """Peak memory of one worker over `count` records, and over four times as many with images of their own."""
    (scratch / "memory").mkdir()
    work = make_work(scratch / "memory", count=count, tokenizer=tokenizer)
    once = peak_of_one_worker(work, str(scratch / "once"), rows_per_unit)
    four = peak_of_one_worker(repeated(work, scratch, 4), str(scratch / "four"), rows_per_unit)
    return {"peak_mb_1x": once / 1e6, "peak_mb_4x": four / 1e6, "peak_growth_4x": four / once}


def goals_of(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Each goal with its measured value and whether it is met."""
    goals: dict[str, dict[str, Any]] = {}
    for name, (side, limit) in GOALS.items():
        value = figures[name]
        goals[name] = {side: limit, "measured": value, "met": value >= limit if side == "at_least" else value <= limit}
    return goals


def show(work: Work, figures: dict[str, Any]) -> None:
    """A table for people."""
    print(f"{work.count} {work.name}, {work.input_bytes / 1e6:.1f} MB with {len(work.images())} images")
    print(f"{'':14}{'Comparisons/s':>16}{'MB/s':>10}{'start-up s':>12}")
    for name in ("ours", "hf_datasets", "kernels"):
        start = figures.get(f"{name}_start_s", figures["ours_start_s"])
        per_s, mb_per_s = figures[f"{name}_comparisons_per_s"], figures[f"{name}_mb_per_s"]
        print(f"{name:14}{per_s:>16.1f}{mb_per_s:>10.2f}{start:>12.1f}")
    for name, goal in goals_of(figures).items():
        side = "at least" if "at_least" in goal else "at most"
        limit = goal.get("at_least", goal.get("at_most"))
        print(f"{name:20}{goal['measured']:>8.2f}  ({side} {limit}) {'met' if goal['met'] else 'MISSED'}")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.preprocess",
        description="Preprocessing against datasets.map and against its own kernels.",
    )
    parser.add_argument("--quick", action="store_true", help="256 records and 3 repetitions")
    parser.add_argument("--tokenizer", help="a folder with tokenizer.json; default: a small one is trained")
    parser.add_argument("--records", type=int, default=1024, help="records at most, default 1,024")
    parser.add_argument("--rows-per-unit", type=int, default=64, help="records a work unit, default 64")
    parser.add_argument("--repetitions", type=int, default=5, help="repetitions, default 5")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    count, repetitions = (256, 3) if options.quick else (options.records, options.repetitions)
    begin, facts = time.perf_counter(), hardware("pillow", "numpy", "pyarrow", processes=PROCESSES)
    with tempfile.TemporaryDirectory(prefix="basereward-preprocess-") as folder:
        scratch = Path(folder)
        work = make_work(scratch, count=count, tokenizer=options.tokenizer)
        figures = measure(work, scratch, rows_per_unit=options.rows_per_unit, repetitions=repetitions)
        figures |= disk(work, scratch)
        figures |= memory(scratch, count=count // 4, rows_per_unit=options.rows_per_unit, tokenizer=options.tokenizer)
        figures["benchmark_s"] = time.perf_counter() - begin
        show(work, figures)
        facts["records"] = f"{work.count} {work.name}"
    result = {"figures": figures, "goals": goals_of(figures)}
    if options.output:
        command = " ".join(["python -m benchmarks.preprocess", *(sys.argv[1:] if argv is None else argv)])
        with open(options.output, "w", encoding="utf8") as file:
            json.dump({"command": command, "hardware": facts, **result}, file, indent=2)
            file.write("\n")
    numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    print(json.dumps({"figures": numbers, "goals": {name: limit for name, (_, limit) in GOALS.items()}}))
    return 0 if all(goal["met"] for goal in result["goals"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
