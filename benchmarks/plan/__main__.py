"""The plan of a training on 2.8 and 100 million Comparisons: seconds, peak memory, and how full the rows are.

    ours        rows.arrow, memory-mapped -> PlanningTable -> Plan.steps over all steps, in a process of its own
    reference   a shuffled index array, and first-fit decreasing as a plain Python loop over each step, on a part of the
                steps, times the number of steps; its packs must be ours
    balance     how even the steps are over 2, 8 and 64 ranks: see `benchmarks.plan.balance`

Run from the project's root:

    python -m benchmarks.plan --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.common.goals import hardware
from benchmarks.plan.balance import balance_figures, show_balance
from benchmarks.plan.cases import COST_MODEL, GLOBAL_BATCH, PATCHES, SEED, TOKENS, write_rows
from rm_core.packing.plan import PackBudget, Plan, StepPlans
from rm_core.packing.sizes import PlanningTable

BUDGET = PackBudget(tokens=TOKENS, patches=PATCHES)
REFERENCE_STEPS = 400
GOALS = {"seconds_2_8m": 3.0, "gb_2_8m": 1.0, "straggler_8_ranks": 1.10, "schedule_ms_8_ranks": 1.0}
"""At most so much."""


def make_plan(path: str) -> tuple[PlanningTable, Plan]:
    """One epoch over the rows file."""
    rows = pa.ipc.open_file(pa.memory_map(path)).read_all()
    table = PlanningTable.from_rows(rows, np.arange(len(rows), dtype=np.int32), cost_model=COST_MODEL)
    num_steps = -(-len(table) // GLOBAL_BATCH)
    return table, Plan(table, seed=SEED, global_batch=GLOBAL_BATCH, num_steps=num_steps, budget=BUDGET)


def measure(path: str) -> dict[str, Any]:
    """Figures of planning all steps of the rows file, in this process, which should have done nothing else."""
    fullness = Fullness()
    with MemoryWatch() as memory:
        watch = Stopwatch()
        table, plan = make_plan(path)
        table_s = watch.seconds()
        for start in range(0, plan.num_steps, plan.chunk_steps):
            plans = plan.steps(start, min(start + plan.chunk_steps, plan.num_steps))
            with watch.paused():
                fullness.add(plans, table)
        seconds, cpu_s = watch.seconds(), watch.cpu_s()
    later_s = time.perf_counter()
    plan.step(plan.num_steps // 2)
    return {
        "comparisons": len(table),
        "steps": plan.num_steps,
        "seconds": seconds,
        "cpu_s": cpu_s,
        "table_s": table_s,
        "first_step_s": time.perf_counter() - later_s,
        "gb": memory.peak_bytes / 1e9,
        "gb_without_mapped_file": memory.peak_anonymous_bytes / 1e9,
        **fullness.figures(),
    }


class Stopwatch:
    """Seconds and CPU seconds since it was made, without its pauses."""

    def __init__(self) -> None:
        self._start = (time.perf_counter(), time.process_time())

    def seconds(self) -> float:
        return time.perf_counter() - self._start[0]

    def cpu_s(self) -> float:
        return time.process_time() - self._start[1]

    @contextmanager
    def paused(self) -> Iterator[None]:
        before = self.seconds(), self.cpu_s()
        yield
        self._start = (time.perf_counter() - before[0], time.process_time() - before[1])


class Fullness:
    """How full the packed rows are, added up over chunks of steps."""

    def __init__(self) -> None:
        self.tokens = self.packs = self.least_packs = 0

    def add(self, plans: StepPlans, table: PlanningTable) -> None:
        tokens = table.num_tokens[plans.rows].sum(axis=1, dtype=np.int64)
        patches = table.num_patches[plans.rows].sum(axis=1, dtype=np.int64)
        self.tokens += int(tokens.sum())
        self.packs += len(plans.costs)
        self.least_packs += int(np.maximum(-(-tokens // BUDGET.tokens), -(-patches // BUDGET.patches)).sum())

    def figures(self) -> dict[str, float]:
        """`padding_left`: what padding every packed row to the token budget would add, as a share of all tokens."""
        return {
            "packs": self.packs,
            "tokens_a_pack": self.tokens / self.packs,
            "padding_left": 1 - self.tokens / (self.packs * BUDGET.tokens),
            "packs_over_lower_bound": self.packs / self.least_packs,
        }


class MemoryWatch:
    """Peak memory of this process above what it had at the start, sampled every few milliseconds."""

    peak_bytes = peak_anonymous_bytes = 0

    def __enter__(self) -> Self:
        self._base = resident()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            now = resident()
            self.peak_bytes = max(self.peak_bytes, now[0] - self._base[0])
            self.peak_anonymous_bytes = max(self.peak_anonymous_bytes, now[1] - self._base[1])
            if self._end.wait(0.005):
                return


def resident() -> tuple[int, int]:
    """(all, without file pages): resident bytes of this process."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return tuple(int(found[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon"))  # type: ignore[return-value]


def reference(path: str) -> dict[str, Any]:
    """The plain loop on the first steps, its packs compared with ours; the rest by multiplication."""
    table, plan = make_plan(path)
    start_s = time.process_time()
    random = np.random.Generator(np.random.Philox(key=[SEED, 0]))
    np.argsort(random.random(len(table)), kind="stable")
    shuffle_s = time.process_time() - start_s
    steps = [plan.step(index) for index in range(min(REFERENCE_STEPS, plan.num_steps - 1))]
    start_s = time.process_time()
    packs = [plain_first_fit(step.rows, table.num_tokens, table.num_patches) for step in steps]
    loop_s = time.process_time() - start_s
    return {
        "steps_measured": len(steps),
        "shuffle_cpu_s": shuffle_s,
        "cpu_s_extrapolated": shuffle_s + loop_s / len(steps) * plan.num_steps,
        "same_packs": all(
            [pack.rows for pack in step.packs] == theirs for step, theirs in zip(steps, packs, strict=True)
        ),
    }


def plain_first_fit(
    rows: Sequence[int], num_tokens: npt.NDArray[Any], num_patches: npt.NDArray[Any]
) -> list[tuple[int, ...]]:
    """First-fit decreasing of one step."""
    order = sorted(range(len(rows)), key=lambda place: (-int(num_tokens[rows[place]]), place))
    bins: list[list[int]] = []
    room: list[tuple[int, int]] = []
    for place in order:
        row = rows[place]
        tokens, patches = int(num_tokens[row]), int(num_patches[row])
        fit = next((i for i, (t, p) in enumerate(room) if tokens <= t and patches <= p), None)
        if fit is None:
            bins.append([])
            room.append((BUDGET.tokens, BUDGET.patches))
            fit = len(bins) - 1
        bins[fit].append(row)
        room[fit] = (room[fit][0] - tokens, room[fit][1] - patches)
    return [tuple(members) for members in bins]


def in_process(action: str, path: str) -> dict[str, Any]:
    """`action` in a fresh process: memory of one run does not hide that of another."""
    command = [sys.executable, "-m", "benchmarks.plan", "--action", action, "--rows-file", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{action} failed:\n{done.stderr}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run_case(folder: str, count: int, repetitions: int, with_reference: bool) -> dict[str, Any]:
    """Both sides on `count` Comparisons; medians of `repetitions` runs of ours."""
    path = os.path.join(folder, "rows.arrow")
    write_rows(path, count, SEED)
    runs = [in_process("measure", path) for _ in range(repetitions)]
    figures: dict[str, Any] = {name: median(run[name] for run in runs) for name in runs[0]}
    figures["all_seconds"] = [run["seconds"] for run in runs]
    figures["file_gb"] = os.path.getsize(path) / 1e9
    if with_reference:
        figures["reference"] = in_process("reference", path)
        figures["cpu_ratio_reference"] = figures["reference"]["cpu_s_extrapolated"] / figures["cpu_s"]
    os.unlink(path)
    return figures


def show(cases: dict[str, dict[str, Any]]) -> None:
    """A table for people."""
    names = ("seconds", "cpu_s", "first_step_s", "gb", "gb_without_mapped_file", "padding_left",
             "packs_over_lower_bound")  # fmt: skip
    print(f"{'':8}" + "".join(f"{name:>24}" for name in names))
    for case, figures in cases.items():
        print(f"{case:8}" + "".join(f"{figures[name]:>24.3f}" for name in names))
    plain = cases["2_8m"]["reference"]
    print(f"plain loop, 2.8 million: {plain['cpu_s_extrapolated']:.0f} CPU s, from {plain['steps_measured']} steps; "
          f"same packs: {plain['same_packs']}")  # fmt: skip


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed or the packs differ."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description="Planning millions of Comparisons.")
    parser.add_argument("--quick", action="store_true", help="10 million Comparisons in place of 100")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of the 2.8 million, default 3")
    parser.add_argument("--folder", help="where the rows file goes (6 GB for 100 million), default a temporary folder")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    parser.add_argument("--action", choices=("measure", "reference"), help=argparse.SUPPRESS)
    parser.add_argument("--rows-file", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.action:
        print(json.dumps({"measure": measure, "reference": reference}[options.action](options.rows_file)))
        return 0
    facts, large = hardware("numpy"), ("10m", 10_000_000) if options.quick else ("100m", 100_000_000)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        cases = {
            "2_8m": run_case(folder, 2_800_000, options.repetitions, with_reference=True),
            large[0]: run_case(folder, large[1], 1, with_reference=False),
        }
    balanced = balance_figures()
    show(cases)
    show_balance(balanced)
    figures = balanced | {
        f"{name}_{case}": value
        for case, values in cases.items()
        for name, value in values.items()
        if isinstance(value, int | float)
    }
    goals = {name: {"at_most": goal, "measured": figures[name], "met": figures[name] <= goal}
             for name, goal in GOALS.items()}  # fmt: skip
    if options.output:
        command = " ".join(["python -m benchmarks.plan", *(sys.argv[1:] if argv is None else argv)])
        result = {"command": command, "hardware": facts, "figures": cases | {"balance": balanced}, "goals": goals}
        Path(options.output).write_text(json.dumps(result, indent=2) + "\n", encoding="utf8")
    same = cases["2_8m"]["reference"]["same_packs"]
    print(json.dumps({"figures": figures, "goals": GOALS}))
    return 0 if same and all(goal["met"] for goal in goals.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
