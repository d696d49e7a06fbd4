"""How training scales: measured for 1 and 2 ranks on this machine, and the plan simulated for 64, 256 and 1024.

    measured    comparisons a second of the trainer's own steps, 1 and 2 ranks of one thread each, in turns, under
                DeepSpeed (ZeRO 0 to 3) and FSDP
    simulated   from real length distributions: what ranks wait for each other, how full rows are, what scheduling
                a step takes each rank, bytes of a checkpoint and the seconds of its upload

From the project's root:

    python -m benchmarks.scaling --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import yaml

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.common.ranks import run_ranks
from benchmarks.scaling.plan import RANKS, plan_figures, show_plan
from benchmarks.scaling.ranks import train_rank
from data_pipeline.synthetic import write_synthetic

WAYS = {
    **{f"zero{stage}": ("deepspeed", stage) for stage in (0, 1, 2, 3)},
    **{f"fsdp{stage}": ("fsdp", stage) for stage in (1, 3)},
}
"""Name in the figures -> engine and stage."""
GOALS: Goals = {f"speedup_2_ranks_{way}": ("at_least", 1.4) for way in WAYS}
GOALS |= {f"over_least_{ranks}_ranks": ("at_most", 1.05) for ranks in RANKS}


def prepare(folder: Path, shape: str) -> None:
    """Shards of synthetic pictures and texts, and a model with random weights, by the verbs that users run."""
    synthetic = write_synthetic(str(folder / "raw"), num_comparisons=600, seed=1)
    sources = [{"name": source.name, "shape": source.shape, "path": source.path} for source in synthetic.sources]
    recipe: dict[str, Any] = {"run_dir": str(folder), "data_root": str(folder / "raw")}
    recipe |= {"init_model": {"vocab_size": 400, "shape": shape}, "preprocess": {"sources": sources}}
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe), encoding="utf8")
    for verb in ("init-model", "preprocess"):
        command = [sys.executable, "-m", "jobs.cli.main", verb, str(folder / "recipe.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"{verb} ended with {done.returncode}:\n{done.stdout}{done.stderr}")


def rate(folder: Path, world_size: int, way: str, steps: int) -> float:
    """Comparisons a second: the median over the steps, the first two left out."""
    run_ranks(train_rank, world_size, *WAYS[way], steps, str(folder))
    rates: list[float] = json.loads((folder / "rates.json").read_text())
    return median(rates[2:])


def measured(folder: Path, turns: int, steps: int) -> dict[str, float]:
    """Rates of 1 and 2 ranks, in turns, and the median of their ratios."""
    figures: dict[str, float] = {}
    for way in WAYS:
        found: dict[int, list[float]] = {1: [], 2: []}
        for turn in range(turns):
            for world_size in (1, 2)[:: 1 - 2 * (turn % 2)]:
                found[world_size].append(rate(folder, world_size, way, steps))
        one, two = (median(found[world_size]) for world_size in (1, 2))
        ratio = median(b / a for a, b in zip(found[1], found[2], strict=True))
        print(f"{way}: {one:6.2f} Comparisons/s on 1 rank, {two:6.2f} on 2, {ratio:.2f} times", flush=True)
        figures |= {f"rate_1_rank_{way}": one, f"rate_2_ranks_{way}": two, f"speedup_2_ranks_{way}": ratio}
    for stage in (1, 3):  # no goals: the engines take no turns with each other
        figures[f"fsdp_over_zero{stage}"] = figures[f"rate_2_ranks_fsdp{stage}"] / figures[f"rate_2_ranks_zero{stage}"]
    return figures


def main(argv: list[str] | None = None) -> int:
    """Simulate, measure, compare with the goals; 1 where one is missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one turn of few steps: within 5 minutes")
    parser.add_argument("--turns", type=int, help="of every way to shard (default 3, with --quick 1)")
    parser.add_argument("--shape", default="mid", help="size of the model of the measured part (default mid)")
    parser.add_argument("--output", help="a file for the figures with command and hardware")
    options = parser.parse_args(argv)
    figures = plan_figures()
    show_plan(figures)
    with tempfile.TemporaryDirectory(prefix="basereward-scaling-") as name:
        prepare(Path(name), options.shape)
        turns, steps = (1, 5) if options.quick else (3, 12)
        figures |= measured(Path(name), turns=options.turns or turns, steps=steps)
    return finish("benchmarks.scaling", argv, hardware(), figures, GOALS, options.output)


if __name__ == "__main__":
    sys.exit(main())
