"""What tracking a step costs the thread that trains, and how many points a second reach a real MLflow server.

    ours        `jobs.tracking.metric_logger.MetricLogger`: one call a step; a thread beside it sends batches
    plain       `mlflow.log_metric`, once for each metric of the step
    lightning   Lightning's `MLFlowLogger.log_metrics`, once a step

A real `mlflow server` in a process of its own, on SQLite and, where there is one, on PostgreSQL. The sides take turns,
each in a process and a run of its own; every turn ends when the server has all points, which are counted. Lightning is
installed apart, and run from the project's root:

    python -m venv rivals && rivals/bin/pip install torch lightning mlflow
    python -m benchmarks.tracking --quick --rivals-python rivals/bin/python

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.common.goals import Goals, finish, hardware
from jobs.tracking.ui import serving

GOALS: Goals = {"ratio_plain_mlflow": ("at_least", 20.0), "training_thread_ms": ("at_most", 0.2)}
METRICS = 20
"""Of a step: a training of ours logs about so many."""
LIMIT_S = 600
SIDES = ("ours", "plain", "lightning")
STEPS = {"ours": 2000, "plain": 20, "lightning": 100}
"""Of a turn, by side: some seconds each."""
QUICK = 4
"""So many times fewer in a quick run."""


def turn(side: str, address: str, steps: int, python: str) -> dict[str, float]:
    """One turn of a side in a process of its own."""
    command = [python, "-m", "benchmarks.tracking.sides", side, address, str(steps), str(METRICS)]
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT_S, env=env)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr or done.stdout}")
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def measure(address: str, turns: int, steps: dict[str, int], pythons: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Medians over the turns of each side on one server."""
    found: dict[str, list[dict[str, float]]] = {side: [] for side in pythons}
    for _ in range(turns):
        for side, python in pythons.items():
            print(f"{side}, {steps[side]} steps", flush=True)
            found[side].append(turn(side, address, steps[side], python))
    return {
        side: {name: median(one[name] for one in runs) for name in runs[0]}
        | {"all_points_per_s": [round(one["points_per_s"], 1) for one in runs]}
        for side, runs in found.items()
    }


@contextmanager
def postgres() -> Iterator[str | None]:
    """A database in a folder of its own; None where there is no PostgreSQL."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "support"))
    from postgres_server import postgres_programs, running

    programs = postgres_programs()
    if programs is None:
        yield None
        return
    with running(programs) as address:
        yield address


def stores(folder: str, stack: ExitStack) -> dict[str, str]:
    """Addresses of servers by the name of their database."""
    databases = {"sqlite": f"sqlite:///{folder}/mlflow.db", "postgresql": stack.enter_context(postgres())}
    found = {}
    for name, uri in databases.items():
        if uri is None:
            print("no PostgreSQL here: tests/services/install.sh installs it; only SQLite is measured")
            continue
        options = ("--artifacts-destination", f"{folder}/{name}")
        found[name] = stack.enter_context(serving(uri, None, *options))
    return found


def summary(figures: dict[str, dict[str, dict[str, Any]]]) -> dict[str, float]:
    """The worst of all servers: the goals have to hold on each."""
    ratios = {
        name: {
            f"{what}_{rival}": _ratio(sides[rival], sides["ours"], what)
            for rival in sides
            if rival != "ours"
            for what in ("thread", "points")
        }
        for name, sides in figures.items()
    }
    names = sorted({name for found in ratios.values() for name in found})
    worst = {f"ratio_{name}": min(found[name] for found in ratios.values()) for name in names}
    return {
        "ratio_plain_mlflow": min(worst["ratio_thread_plain"], worst["ratio_points_plain"]),
        "training_thread_ms": max(sides["ours"]["thread_ms"] for sides in figures.values()),
        **worst,
    }


def _ratio(rival: dict[str, float], ours: dict[str, float], what: str) -> float:
    if what == "thread":
        return rival["thread_ms"] / ours["thread_ms"]
    return ours["points_per_s"] / rival["points_per_s"]


def show(figures: dict[str, dict[str, dict[str, Any]]], ratios: dict[str, float]) -> None:
    """A table for people."""
    print(f"{'server':12}{'side':12}{'ms a step':>12}{'99 of 100':>12}{'points/s':>12}")
    for store, sides in figures.items():
        for side, found in sides.items():
            numbers = (found["thread_ms"], found["thread_p99_ms"], found["points_per_s"])
            print(f"{store:12}{side:12}" + "".join(f"{number:>12.4g}" for number in numbers))
    print(", ".join(f"{name} {ratio:.3g}" for name, ratio in ratios.items()))


def has_lightning(python: str) -> bool:
    """Whether the interpreter can import it."""
    script = "import mlflow, lightning.pytorch.loggers"
    return subprocess.run([python, "-c", script], capture_output=True, check=False).returncode == 0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed, 2 where Lightning is not installed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracking", description="The cost of tracking.")
    parser.add_argument("--quick", action="store_true", help="3 turns of a quarter of the steps")
    parser.add_argument("--turns", type=int, default=5, help="turns a side and server, default 5")
    parser.add_argument("--rivals-python", default=sys.executable, help="an interpreter with lightning and mlflow")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    if not has_lightning(options.rivals_python):
        print(f"{options.rivals_python} cannot import lightning and mlflow. Install them apart:\n"
              "  python -m venv rivals && rivals/bin/pip install torch lightning mlflow\n"
              "  python -m benchmarks.tracking --rivals-python rivals/bin/python", file=sys.stderr)  # fmt: skip
        return 2
    turns = 3 if options.quick else options.turns
    steps = {side: count // QUICK if options.quick else count for side, count in STEPS.items()}
    pythons = {side: options.rivals_python if side == "lightning" else sys.executable for side in SIDES}
    facts = hardware("mlflow", "sqlalchemy", metrics_a_step=METRICS, turns=turns, steps_of_a_turn=steps)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        servers = stores(folder, stack)
        figures = {name: measure(address, turns, steps, pythons) for name, address in servers.items()}
    ratios = summary(figures)
    show(figures, ratios)
    return finish("benchmarks.tracking", argv, facts, {**ratios, "servers": figures}, GOALS, options.output)


if __name__ == "__main__":
    sys.exit(main())
