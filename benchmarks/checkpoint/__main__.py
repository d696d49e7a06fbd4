"""Seconds that a checkpoint costs: saving, resuming, resuming on another number of ranks, the first step after it.

    ours        `Checkpointing`'s parts: copy in memory, a thread writes, hashes and marks; ranges are read by any ranks
    deepspeed   `save_checkpoint` and `load_checkpoint`; for another number of ranks, its conversion to universal files
    trainer     Hugging Face's Trainer: from its start to the end of the first step after a checkpoint

Ours compares a file with its sha256 before it is used, and waits until it is on the disk; DeepSpeed does neither.
Ranks of one machine on gloo, ZeRO-2 in float32, one engine for ours and DeepSpeed's, which take turns; the first step
on one rank, on a tiny model (`benchmarks.checkpoint.resume`). From the project's root:

    python -m benchmarks.checkpoint --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.checkpoint.ranks import measure_rank, resume_rank
from benchmarks.checkpoint.resume import SIDES, first_step_rank
from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.common.ranks import run_ranks
from benchmarks.scaling.__main__ import prepare

GOALS: Goals = {
    "ratio_blocked": ("at_least", 2.0),
    "ratio_other_ranks": ("at_least", 2.0),
    "ratio_bytes": ("at_most", 1.0),
    "ratio_first_step": ("at_least", 2.0),
}


def converted_s(folder: Path) -> float:
    """Seconds of DeepSpeed's conversion of the checkpoint in `folder` to universal files."""
    start = time.perf_counter()
    command = [
        sys.executable, "-m", "deepspeed.checkpoint.ds_to_universal",
        "--input_folder", str(folder / "state"), "--output_folder", str(folder / "universal"),
        "--num_extract_workers", "2", "--num_merge_workers", "2",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"ds_to_universal ended with {done.returncode}:\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


def size_gb(folder: Path) -> float:
    """Gigabytes (10^9 bytes) of all files below `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e9


def first_steps(folder: Path, steps: int, turns: int) -> dict[str, float]:
    """Medians of the seconds to the first step after a checkpoint at `steps`, by side, and their ratio."""
    prepare(folder, "tiny")
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for side in SIDES:
        run_ranks(first_step_rank, 1, side, str(folder), steps)
    for turn in range(turns):
        for side in SIDES[:: 1 - 2 * (turn % 2)]:
            run_ranks(first_step_rank, 1, side, str(folder), steps + turn + 1)
            found[side].append(json.loads((folder / f"{side}.json").read_text()))
    ours, theirs = (statistics.median(found[side]) for side in SIDES)
    return {"ours_first_step_s": ours, "trainer_first_step_s": theirs, "ratio_first_step": theirs / ours}


def figures_of(turns: Sequence[dict[str, float]], other: dict[str, float], folder: Path) -> dict[str, float]:
    """Medians over the turns, and ratios of DeepSpeed's seconds and bytes to ours."""
    middle = {name: statistics.median(turn[name] for turn in turns) for name in turns[0]}
    ours_gb, theirs_gb = size_gb(folder / "ours"), size_gb(folder / "deepspeed")
    return {
        **middle,
        **other,
        "ours_gb": ours_gb,
        "deepspeed_gb": theirs_gb,
        "ratio_blocked": middle["deepspeed_save_s"] / middle["ours_blocked_s"],
        "ratio_complete": middle["deepspeed_save_s"] / middle["ours_complete_s"],
        "ratio_resume": middle["deepspeed_resume_s"] / middle["ours_resume_s"],
        "ratio_other_ranks": other["deepspeed_convert_s"] / other["ours_other_ranks_s"],
        "ratio_bytes": ours_gb / theirs_gb,
    }


def show(figures: dict[str, float]) -> None:
    """A table."""
    print(f"{'seconds':34}{'ours':>10}{'deepspeed':>12}")
    print(f"{'training waits for a save':34}{figures['ours_blocked_s']:10.2f}{figures['deepspeed_save_s']:12.2f}")
    print(f"{'until it is complete, hashed':34}{figures['ours_complete_s']:10.2f}{figures['deepspeed_save_s']:12.2f}")
    print(f"{'resume, same ranks':34}{figures['ours_resume_s']:10.2f}{figures['deepspeed_resume_s']:12.2f}")
    print(f"{'resume on another number of ranks':34}{figures['ours_other_ranks_s']:10.2f}", end="")
    print(f"{figures['deepspeed_convert_s']:12.2f} (its conversion alone)")
    print(f"{'GB':34}{figures['ours_gb']:10.2f}{figures['deepspeed_gb']:12.2f}")
    print(f"{'first step after a checkpoint':34}{figures['ours_first_step_s']:10.2f}", end="")
    print(f"{figures['trainer_first_step_s']:12.2f} (Hugging Face's Trainer)")


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.checkpoint", description="Checkpoints, ours against DeepSpeed's."
    )
    parser.add_argument("--quick", action="store_true", help="3 turns")
    parser.add_argument("--shape", default="mid", help="size of the model, default mid")
    parser.add_argument("--ranks", type=int, default=2, help="processes that save, default 2")
    parser.add_argument("--turns", type=int, default=7, help="turns of each side, default 7")
    parser.add_argument("--steps", type=int, default=200, help="of 16 Comparisons before the first step, default 200")
    parser.add_argument("--folder", help="where to write, default the system's temporary folder")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    turns = 3 if options.quick else options.turns
    facts = hardware("torch", "deepspeed", device="cpu", dtype="float32", ranks=options.ranks, shape=options.shape)
    folder = Path(tempfile.mkdtemp(prefix="basereward-checkpoints-", dir=options.folder))
    try:
        torch.set_num_threads(1)
        run_ranks(measure_rank, options.ranks, options.shape, str(folder), turns)
        run_ranks(resume_rank, options.ranks + 1, options.shape, str(folder))
        found = json.loads((folder / "turns.json").read_text())
        other = json.loads((folder / "other.json").read_text())
        other["deepspeed_convert_s"] = converted_s(folder / "deepspeed")
        shutil.rmtree(folder / "deepspeed" / "universal")
        figures = figures_of(found, other, folder) | first_steps(folder / "first", options.steps, turns)
    finally:
        shutil.rmtree(folder)
    show(figures)
    return finish("benchmarks.checkpoint", argv, facts, figures, GOALS, options.output)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    sys.exit(main())
