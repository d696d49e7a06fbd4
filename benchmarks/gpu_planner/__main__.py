"""What the planner says of a GPU's memory, and what a real step of the engine takes there.

    python -m benchmarks.gpu_planner --quick        from the project's root; --output FILE keeps the figures

Needs PyTorch, Transformers, DeepSpeed and this checkout; no network, no data, no Ray. One rank on one GPU: random
weights of the true shapes under `ZeroEngine`, one packed row of synthetic Comparisons, two rows a step. Each case runs
in a process of its own, so that nothing of another is counted.

    planned      `memory_of(...).peak` for exactly this row
    measured     the most bytes of tensors that PyTorch's allocator gave out over the steps after the first
    efficiency   FLOPs computed (recomputed ones included) / (seconds of a row x the GPU's dense bf16 peak); the
                 planner assumes `plan.compute_efficiency`

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __package__ in (None, ""):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import torch

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.gpu_planner.cases import CASES, TOYS

GOALS: Goals = {"planned_over_measured_min": ("at_least", 0.9), "planned_over_measured_max": ("at_most", 1.1)}
CASE_LIMIT_S = 150


def measure(name: str) -> dict[str, Any]:
    """Figures of one case, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.gpu_planner", "--case", name]
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=CASE_LIMIT_S)
    except subprocess.TimeoutExpired:
        print(f"{name:24} took more than {CASE_LIMIT_S} s", flush=True)
        return {f"{name}_timed_out": 1}
    if done.returncode != 0:
        print(f"{name:24} failed:\n{done.stderr.strip()[-600:]}", flush=True)
        return {f"{name}_failed": 1}
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    shown = "".join(f"  {key} {value:,.4g}" for key, value in found.items())
    print(f"{name:24}{shown}", flush=True)
    return {f"{name}_{key}": value for key, value in found.items()}


def summary(figures: dict[str, Any]) -> dict[str, Any]:
    """The worst cases on either side; nothing where no memory was measured."""
    ratios = [value for key, value in figures.items() if key.endswith("_planned_over_measured")]
    rates = [value for key, value in figures.items() if key.endswith("_efficiency")]
    found: dict[str, Any] = {}
    if ratios:
        found |= {"planned_over_measured_min": min(ratios), "planned_over_measured_max": max(ratios)}
    if rates:
        found |= {"efficiency_min": min(rates), "efficiency_max": max(rates)}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed, 2 where there is no GPU."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_planner", description="The planner's memory beside a GPU's."
    )
    parser.add_argument("--quick", action="store_true", help="the first five cases: within 5 minutes")
    parser.add_argument("--cases", nargs="+", choices=CASES, help="default all")
    parser.add_argument("--cpu-check", action="store_true", help="a toy on the CPU: whether the script works")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.case:
        from benchmarks.gpu_planner.run import run_case

        print(json.dumps(run_case((TOYS | CASES)[options.case])))
        return 0
    if not (options.cpu_check or torch.cuda.is_available()):
        print("this machine has no CUDA GPU; --cpu-check runs the same code on a toy", file=sys.stderr)
        return 2
    figures: dict[str, Any] = {}
    if options.cpu_check:
        for name in TOYS:
            figures |= measure(name)
        goals: Goals = {f"{name}_rows": ("at_least", 2) for name in TOYS}
        return finish("benchmarks.gpu_planner", argv, hardware("torch"), figures, goals, None)
    names = options.cases or list(CASES)[: 5 if options.quick else None]
    for name in names:
        figures |= measure(name)
    facts = hardware("torch", "transformers", "deepspeed", device=torch.cuda.get_device_name(0))
    return finish("benchmarks.gpu_planner", argv, facts, figures | summary(figures), GOALS, options.output)


if __name__ == "__main__":
    sys.exit(main())
