"""One packed row against K separate padded rows: seconds a Comparison, forward and backward, side by side in one run.

    packed      collate + RewardModel: the prompt and its image once, responses behind it, no padding
    reference   K full sequences a Comparison, padded on the right in micro-batches, the image encoded for each of them,
                Transformers' own Qwen2_5_VLModel with sdpa and a 2-D attention mask

Both have the same weights, Comparisons and Bradley-Terry loss. Run from the project's root:

    python -m benchmarks.packed_row --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

import torch
import transformers

from benchmarks.packed_row_cases import CASES, Case, make_comparisons, token_counts
from benchmarks.packed_row_sides import Sides, make_sides

DIFFERENCE_GOALS = {torch.float32: 1e-3, torch.bfloat16: 0.2}
"""Largest allowed difference between the two rewards of one response."""


def measure(case: Case, sides: Sides, *, count: int, repetitions: int, seed: int) -> dict[str, Any]:
    """Figures of one case; the sides take turns, so that a busy moment of the machine meets both."""
    comparisons = make_comparisons(case, count, seed)
    sides.packed(comparisons[:1]), sides.reference(comparisons[:1])
    ours, theirs = [], []
    for _ in range(repetitions):
        ours.append(sides.packed(comparisons))
        theirs.append(sides.reference(comparisons))
    seconds = {
        name: [(step.prepare_s + step.compute_s) / count for step in steps]
        for name, steps in (("packed", ours), ("reference", theirs))
    }
    return {
        "num_responses": case.num_responses,
        "comparisons": count,
        "repetitions": repetitions,
        "packed_s": median(seconds["packed"]),
        "reference_s": median(seconds["reference"]),
        "speedup": median(b / a for a, b in zip(seconds["packed"], seconds["reference"], strict=True)),
        "packed_cpu_s": median(step.cpu_s / count for step in ours),
        "reference_cpu_s": median(step.cpu_s / count for step in theirs),
        "speedup_in_cpu_s": median(b.cpu_s / a.cpu_s for a, b in zip(ours, theirs, strict=True)),
        "packed_all_s": seconds["packed"],
        "reference_all_s": seconds["reference"],
        "packed_prepare_s": median(step.prepare_s / count for step in ours),
        "reference_prepare_s": median(step.prepare_s / count for step in theirs),
        **token_counts(comparisons),
        "max_reward_difference": float((ours[0].rewards - theirs[0].rewards).abs().max()),
        "reward_spread": float(theirs[0].rewards.std()),
        "gradient_norm_difference": abs(ours[0].gradient_norm / theirs[0].gradient_norm - 1),
    }


def hardware(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "cpus": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load_average_1_min": os.getloadavg()[0],
        "dtype": str(dtype).removeprefix("torch."),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def goals_of(figures: dict[str, dict[str, Any]], dtype: torch.dtype) -> dict[str, dict[str, Any]]:
    """Each goal with its measured value and whether it is met."""
    goals: dict[str, dict[str, Any]] = {}
    for case in CASES:
        speedup, difference = figures[case.name]["speedup"], figures[case.name]["max_reward_difference"]
        limit = DIFFERENCE_GOALS[dtype]
        goals[f"{case.name}.speedup"] = {
            "at_least": case.speedup_goal,
            "measured": speedup,
            "met": speedup >= case.speedup_goal,
        }
        goals[f"{case.name}.max_reward_difference"] = {
            "at_most": limit,
            "measured": difference,
            "met": difference <= limit,
        }
    return goals


def show(figures: dict[str, dict[str, Any]]) -> None:
    """A table for people."""
    columns = (
        "s/Comparison",
        "reference",
        "speed-up",
        "in CPU seconds",
        "tokens",
        "reference",
        "packing x sharing",
        "max difference",
    )
    print(f"{'':20}" + "".join(f"{name:>19}" for name in columns))
    for name, case in figures.items():
        saved = f"{case['fewer_tokens_by_packing']:.2f} x {case['fewer_tokens_by_sharing']:.2f}"
        cells = (
            f"{case['packed_s']:.4f}",
            f"{case['reference_s']:.4f}",
            f"{case['speedup']:.2f}",
            f"{case['speedup_in_cpu_s']:.2f}",
            f"{case['tokens_packed']:.0f}",
            f"{case['tokens_reference']:.0f}",
            saved,
            f"{case['max_reward_difference']:.1e}",
        )
        print(f"{name:20}" + "".join(f"{cell:>19}" for cell in cells))


def flat(result: dict[str, dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The last line's object: one number a name, a goal being the number that was asked for."""
    figures = {
        f"{case}.{name}": value
        for case, values in result["figures"].items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }
    goals = {name: goal.get("at_least", goal.get("at_most")) for name, goal in result["goals"].items()}
    return {"figures": figures, "goals": goals}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure all cases; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description="One packed row against K separate padded rows.")
    parser.add_argument("--quick", action="store_true", help="4 Comparisons and 3 repetitions a case")
    parser.add_argument("--shape", default="mid", help="size of the model, default mid")
    parser.add_argument("--comparisons", type=int, default=16, help="Comparisons a case, default 16")
    parser.add_argument("--repetitions", type=int, default=5, help="repetitions a case, default 5")
    parser.add_argument("--seed", type=int, default=0, help="seed of lengths, words and images")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="compute threads, default all CPUs")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    count, repetitions = (4, 3) if options.quick else (options.comparisons, options.repetitions)
    torch.set_num_threads(options.threads)
    device, dtype = torch.device("cpu"), torch.float32
    if torch.cuda.is_available():
        device, dtype = torch.device("cuda"), torch.bfloat16
    facts = hardware(device, dtype)
    sides = make_sides(options.shape, device, dtype)
    figures = {}
    for case in CASES:
        figures[case.name] = measure(case, sides, count=count, repetitions=repetitions, seed=options.seed)
    show(figures)
    result = {"figures": figures, "goals": goals_of(figures, dtype)}
    if options.output:
        command = " ".join(["python -m benchmarks.packed_row", *(sys.argv[1:] if argv is None else argv)])
        with open(options.output, "w", encoding="utf8") as file:
            json.dump({"command": command, "hardware": facts, **result}, file, indent=2)
            file.write("\n")
    print(json.dumps(flat(result)))
    return 0 if all(goal["met"] for goal in result["goals"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
