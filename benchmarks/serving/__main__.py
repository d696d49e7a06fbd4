"""Requests a second of a server of rewards, K responses each: `basereward serve`'s engine against a naive server.

    ours    requests that wait share a packed row; prompt and image once a request
    cached  the same, and prompts of earlier requests are known
    naive   one forward pass a request, K padded rows, each with prompt and image

All run the same HTTP app on loopback, with the same weights, and take turns. From the project's root (see
benchmarks/README.md):

    BASEREWARD_REAL_DATA=FOLDER python -m benchmarks.serving --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.serving.asked import RECORDS, Case, cases_of
from benchmarks.serving.load import Turn, send, wait_until_ready
from benchmarks.serving.servers import SIDES, model_folder
from benchmarks.train_step.records import tokenizer_beside

GOALS: Goals = {
    "ratio_k4": ("at_least", 3.0),
    "ratio_k8": ("at_least", 5.0),
    "ratio_later": ("at_least", 5.0),
    "max_reward_difference": ("at_most", 1e-4),
}
CURE = (
    "Set BASEREWARD_REAL_DATA (or --data) to the folder of the real sets and --tokenizer to a folder with Qwen2.5's "
    "tokenizer.json: see benchmarks/README.md"
)

Turns = Mapping[str, Sequence[Turn]]


@contextmanager
def servers(folder: str, threads: int) -> Iterator[dict[str, str]]:
    """All sides, each in a process of its own, which ends with the block; yields their addresses."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    addresses: dict[str, str] = {}
    try:
        for side in SIDES:
            port = _free_port()
            command = [sys.executable, "-m", "benchmarks.serving.servers", side, folder, str(port), str(threads)]
            processes[side] = subprocess.Popen(command)
            addresses[side] = f"http://127.0.0.1:{port}"
        for address in addresses.values():
            wait_until_ready(address)
        yield addresses
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            process.wait(30)


def measure(addresses: Mapping[str, str], case: Case, concurrency: int) -> Turns:
    """Every side's turns over the same requests; who begins changes. Each first answers one that is not counted, about
    a prompt that does not come again.
    """
    first = case.turns[0][0]
    for side in case.sides:
        send(addresses[side], [first | {"prompt": f"Once more: {first['prompt']}"}], 1)
    done: dict[str, list[Turn]] = {side: [] for side in case.sides}
    for number, requests in enumerate(case.turns):
        for side in case.sides if number % 2 == 0 else reversed(case.sides):
            done[side].append(send(addresses[side], requests, concurrency))
    return done


def figures_of(turns: Turns) -> dict[str, Any]:
    """Figures of one case; a ratio is the median over the turns of each turn's ratio, and the difference is the largest
    between the rewards of the first side and of another.
    """
    figures: dict[str, Any] = {}
    for side, found in turns.items():
        latencies = [one for turn in found for one in turn.latencies_s]
        figures[f"{side}_requests_per_s"] = len(found[0].latencies_s) / median(turn.seconds for turn in found)
        figures[f"{side}_median_s"] = median(latencies)
        figures[f"{side}_p95_s"] = quantiles(latencies, n=20)[-1]
        figures[f"{side}_all_s"] = [turn.seconds for turn in found]
    first, *others = turns
    for side in others:
        pairs = zip(turns[first], turns[side], strict=True)
        figures[f"ratio_to_{side}"] = median(theirs.seconds / ours.seconds for ours, theirs in pairs)
    figures["ratio"] = figures[f"ratio_to_{others[-1]}"]
    figures["difference"] = max(_difference(turns[first], turns[side]) for side in others)
    return figures


def _difference(ours: Sequence[Turn], theirs: Sequence[Turn]) -> float:
    both = zip(ours, theirs, strict=True)
    return max(
        abs(a - b)
        for one, other in both
        for mine, yours in zip(one.rewards, other.rewards, strict=True)
        for a, b in zip(mine, yours, strict=True)
    )


def show(name: str, found: Mapping[str, Any]) -> None:
    """Lines for people."""
    for side in (side for side in SIDES if f"{side}_all_s" in found):
        cells = [found[f"{side}_{figure}"] for figure in ("requests_per_s", "median_s", "p95_s")]
        ratio = f"{found[f'ratio_to_{side}']:>10.2f}" if f"ratio_to_{side}" in found else ""
        print(f"{f'{name} {side}':24}" + "".join(f"{cell:>10.2f}" for cell in cells) + ratio, flush=True)


def options_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    default = os.environ.get("BASEREWARD_REAL_DATA", "")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving", description="Two servers of rewards in turns."
    )
    parser.add_argument("--quick", action="store_true", help="3 turns of 6 requests a case, 4 at once")
    parser.add_argument("--data", default=default, help="folder of real data, default $BASEREWARD_REAL_DATA")
    parser.add_argument("--tokenizer", help="folder with tokenizer.json, default DATA/../tokenizers/qwen2_5")
    parser.add_argument("--shape", default="mid", help="size of the model, default mid")
    parser.add_argument("--requests", type=int, default=16, help="requests a turn, default 16")
    parser.add_argument("--turns", type=int, default=5, help="turns of each side a case, default 5")
    parser.add_argument(
        "--concurrency",
        type=int,
        nargs="+",
        default=[8, 1],
        help="requests at once, the first for the goals; default 8 1",
    )
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="compute threads a server, default all CPUs"
    )
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    if options.quick:
        options.requests, options.turns, options.concurrency = 6, 3, [4]
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed, 2 where records or tokenizer are not there."""
    options = options_of(argv)
    data = Path(options.data)
    options.tokenizer = options.tokenizer or tokenizer_beside(data)
    needed = (data / RECORDS, Path(options.tokenizer) / "tokenizer.json")
    if missing := [str(path) for path in needed if not path.is_file()]:
        print(f"{', '.join(missing)}: not there. {CURE}", file=sys.stderr)
        return 2
    facts = hardware(
        "torch", "transformers", "uvicorn", device="cpu", dtype="float32", threads=options.threads,
        concurrency=options.concurrency,
    )  # fmt: skip
    found: dict[str, dict[str, Any]] = {}
    print(f"{'':24}{'req./s':>10}{'median s':>10}{'p95 s':>10}{'slower by':>10}")
    with model_folder(options.shape, options.tokenizer) as folder, servers(folder, options.threads) as addresses:
        for name, case in cases_of(data, options.requests, options.turns).items():
            for concurrency in [1] if case.one_by_one else options.concurrency:
                key = name if case.one_by_one or concurrency == options.concurrency[0] else f"{name}_at_{concurrency}"
                found[key] = figures_of(measure(addresses, case, concurrency))
                show(key, found[key])
    figures: dict[str, Any] = {f"ratio_{name}": figures["ratio"] for name, figures in found.items()}
    figures["max_reward_difference"] = max(figures["difference"] for figures in found.values())
    figures |= {f"{name}.{key}": value for name, figures_ in found.items() for key, value in figures_.items()}
    return finish("benchmarks.serving", argv, facts, figures, GOALS, options.output)


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
