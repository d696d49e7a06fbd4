"""The end of a benchmark: figures against goals, hardware, the file that documents quote, last line, exit code."""

import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

__all__ = ["Goal", "Goals", "finish", "hardware", "judged"]

Goal = tuple[str, float]
"""("at_least" or "at_most", number)."""
Goals = Mapping[str, Goal]


def judged(figures: Mapping[str, Any], goals: Goals) -> dict[str, dict[str, Any]]:
    """Each goal with what was measured; a figure that is missing or not a number misses its goal."""
    found: dict[str, dict[str, Any]] = {}
    for name, (side, limit) in goals.items():
        value = figures.get(name)
        met = value is not None and (value >= limit if side == "at_least" else value <= limit)
        found[name] = {side: limit, "measured": value, "met": met}
    return found


def finish(
    module: str,
    argv: Sequence[str] | None,
    facts: Mapping[str, Any],
    figures: Mapping[str, Any],
    goals: Goals,
    output: str | None,
) -> int:
    """Print the goals and the last line, write `output`; 1 where a goal is missed.

    Args:
        module: the benchmark's own, such as "benchmarks.train_step".
        argv: its arguments; None: those of the process.
        output: a file for the JSON object with command and hardware.
    """
    verdicts = judged(figures, goals)
    for name, verdict in verdicts.items():
        (side, limit), value = goals[name], verdict["measured"]
        measured = "not measured" if value is None else f"{value:.3f}"
        print(f"{name:28}{measured:>14}  ({side.replace('_', ' ')} {limit}) {'met' if verdict['met'] else 'MISSED'}")
    if output:
        command = " ".join([f"python -m {module}", *(sys.argv[1:] if argv is None else argv)])
        with open(output, "w", encoding="utf8") as file:
            json.dump({"command": command, "hardware": facts, "figures": figures, "goals": verdicts}, file, indent=2)
            file.write("\n")
    numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    print(json.dumps({"figures": numbers, "goals": {name: limit for name, (_, limit) in goals.items()}}))
    return 0 if all(verdict["met"] for verdict in verdicts.values()) else 1


def hardware(*packages: str, **facts: Any) -> dict[str, Any]:
    """The machine, its load at this moment and the versions of what does the work.

    Args:
        packages: names of installed distributions, such as "numpy".
        facts: what else the figures of this benchmark depend on: a device, threads, a type of numbers.
    """
    return {
        "machine": platform.machine(),
        "cpus": os.cpu_count(),
        "load_average_1_min": os.getloadavg()[0],
        "python": platform.python_version(),
        **facts,
        **{package: version(package) for package in packages},
    }
