"""Requests a second of a server of rewards, K responses each: `basereward serve`'s engine against a naive server.

    ours    requests that wait share a packed row; prompt and image once a request
    naive   one forward pass a request, K padded rows, each with prompt and image

Both run the same HTTP app on loopback, with the same weights, and take turns. From the project's root (see
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
from benchmarks.serving.asked import RECORDS, Request, requests_of
from benchmarks.serving.load import Turn, send, wait_until_ready
from benchmarks.serving.servers import SIDES, model_folder
from benchmarks.train_step.records import tokenizer_beside

CASES = {"k1": 1, "k4": 4, "k8": 8}
"""Case -> responses a request."""
JOINED = "joined"
"""Requests of one response each, all about one prompt."""
GOALS: Goals = {
    "ratio_k4": ("at_least", 3.0),
    "ratio_k8": ("at_least", 5.0),
    "max_reward_difference": ("at_most", 1e-4),
}
CURE = (
    "Set BASEREWARD_REAL_DATA (or --data) to the folder of the real sets and --tokenizer to a folder with Qwen2.5's "
    "tokenizer.json: see benchmarks/README.md"
)

Turns = Mapping[str, Sequence[Turn]]


@contextmanager
def servers(folder: str, threads: int) -> Iterator[dict[str, str]]:
    """Both sides, each in a process of its own, which ends with the block; yields their addresses."""
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


def measure(addresses: Mapping[str, str], requests: Sequence[Request], turns: int, concurrency: int) -> Turns:
    """Every side's turns over the same requests; who begins changes. Each first answers one that is not counted."""
    for side in SIDES:
        send(addresses[side], requests[:1], 1)
    done: dict[str, list[Turn]] = {side: [] for side in SIDES}
    for number in range(turns):
        for side in SIDES if number % 2 == 0 else reversed(SIDES):
            done[side].append(send(addresses[side], requests, concurrency))
    return done


def figures_of(turns: Turns) -> dict[str, Any]:
    """Figures of one case; the ratio is the median over the turns of each turn's ratio."""
    figures: dict[str, Any] = {}
    for side, found in turns.items():
        latencies = [one for turn in found for one in turn.latencies_s]
        figures[f"{side}_requests_per_s"] = len(found[0].latencies_s) / median(turn.seconds for turn in found)
        figures[f"{side}_median_s"] = median(latencies)
        figures[f"{side}_p95_s"] = quantiles(latencies, n=20)[-1]
        figures[f"{side}_all_s"] = [turn.seconds for turn in found]
    pairs = zip(turns["ours"], turns["naive"], strict=True)
    figures["ratio"] = median(theirs.seconds / ours.seconds for ours, theirs in pairs)
    both = zip(turns["ours"][0].rewards, turns["naive"][0].rewards, strict=True)
    figures["difference"] = max(abs(a - b) for ours, theirs in both for a, b in zip(ours, theirs, strict=True))
    return figures


def cases_of(data: Path, options: argparse.Namespace) -> dict[str, list[Request]]:
    """The requests of every case."""
    cases = {name: requests_of(data, options.requests, count) for name, count in CASES.items()}
    [several] = requests_of(data, 1, options.requests)
    cases[JOINED] = [several | {"responses": [one]} for one in several["responses"]]
    return cases


def show(name: str, found: Mapping[str, Any]) -> None:
    """Lines for people."""
    for side in SIDES:
        cells = [found[f"{side}_{figure}"] for figure in ("requests_per_s", "median_s", "p95_s")]
        ratio = f"{found['ratio']:>10.2f}" if side == "ours" else ""
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
    print(f"{'':24}{'req./s':>10}{'median s':>10}{'p95 s':>10}{'ratio':>10}")
    with model_folder(options.shape, options.tokenizer) as folder, servers(folder, options.threads) as addresses:
        for name, requests in cases_of(data, options).items():
            for concurrency in options.concurrency:
                key = name if concurrency == options.concurrency[0] else f"{name}_at_{concurrency}"
                found[key] = figures_of(measure(addresses, requests, options.turns, concurrency))
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
