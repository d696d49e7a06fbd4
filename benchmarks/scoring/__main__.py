"""Items a second of scoring real Comparisons: packed rows against K padded rows, each with its own prompt and image.

    ours        the scorer of `evaluate` and `score`: prompt and image once a Comparison, no padding
    reference   K full sequences a Comparison, padded 4 Comparisons at a time, the image encoded for each of them
    grouped     the same reference, given the Comparisons by length, so that it pads least

K = 2: pairs of MLLM-Bench; K = 5: captions of the New Yorker caption contest. The sides have the same weights and take
turns. From the project's root (see benchmarks/README.md):

    BASEREWARD_REAL_DATA=FOLDER python -m benchmarks.scoring --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.scoring.sides import Ours, Reference, Scores, Turn, take_turn
from benchmarks.train_step.counts import as_padded_as, counts, flop_ratio, grouped
from benchmarks.train_step.records import CASES as TRAINED
from benchmarks.train_step.records import Case, encoded_pool, missing_files, sample, tokenizer_beside
from benchmarks.train_step.sides import ModelSize
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.tokenizer import load_tokenizer

CASES = (
    replace(TRAINED[0], name="k2", num_responses=(2,), goal=2.0),
    replace(TRAINED[1], name="k5", num_responses=(5,), goal=3.5),
)
GOALS: Goals = {
    **{f"ratio_{case.name}": ("at_least", case.goal) for case in CASES},
    "max_reward_difference": ("at_most", 1e-3),
}
SIDES = ("ours", "reference", "grouped")
CURE = (
    "Set BASEREWARD_REAL_DATA (or --data) to the folder of the real sets and --tokenizer to a folder with Qwen2.5's "
    "tokenizer.json: see benchmarks/README.md"
)


def measure(sides: Mapping[str, Scores], comparisons: Sequence[EncodedComparison], turns: int) -> dict[str, list[Turn]]:
    """Every side's turns over the same Comparisons; who begins changes, so that a busy moment meets all of them.

    Each side first scores two that are not counted.
    """
    given = {"ours": comparisons, "reference": comparisons, "grouped": grouped(comparisons)}
    for name in ("ours", "reference"):
        sides[name].score(comparisons[:2])
    done: dict[str, list[Turn]] = {name: [] for name in SIDES}
    for number in range(turns):
        for name in SIDES if number % 2 == 0 else reversed(SIDES):
            done[name].append(take_turn(sides[name], given[name]))
    return done


def figures_of(
    turns: Mapping[str, Sequence[Turn]], comparisons: Sequence[EncodedComparison], size: ModelSize
) -> dict[str, Any]:
    """Figures of one case; ratios are medians over the turns of each turn's ratio."""
    count = len(comparisons)
    figures: dict[str, Any] = {"items": count, **counts(comparisons)}
    for name, found in turns.items():
        figures[f"{name}_items_per_s"] = count / median(turn.seconds for turn in found)
        figures[f"{name}_all_s"] = [turn.seconds for turn in found]
    for name, ending in (("reference", ""), ("grouped", "_grouped")):
        pairs = list(zip(turns["ours"], turns[name], strict=True))
        figures[f"ratio{ending}"] = median(their.seconds / our.seconds for our, their in pairs)
        figures[f"cpu_ratio{ending}"] = median(their.cpu_s / our.cpu_s for our, their in pairs)
        order = comparisons if name == "reference" else grouped(comparisons)
        figures[f"flops_ratio{ending}"] = flop_ratio(order, size)
    both = zip(turns["ours"][0].rewards, turns["reference"][0].rewards, strict=True)
    figures["max_reward_difference"] = max(abs(a - b) for one, two in both for a, b in zip(one, two, strict=True))
    return figures


def run_case(case: Case, size: ModelSize, sides: Mapping[str, Scores], options: argparse.Namespace) -> dict[str, Any]:
    """Read the case's records and measure all sides on a sample of them that is padded as all are."""
    pool = encoded_pool(case, Path(options.data), load_tokenizer(options.tokenizer), size=16 * options.items)
    chosen = as_padded_as(pool, sample(pool, options.items), seed=options.seed)
    return {"pool": len(pool), **figures_of(measure(sides, chosen, options.turns), chosen, size)}


def show(cases: Mapping[str, Mapping[str, Any]]) -> None:
    """A table for people."""
    print(f"{'':16}{'items/s':>10}{'ratio':>10}{'in cpu':>10}{'FLOPs':>10}")
    for case, found in cases.items():
        for name, ending in zip(SIDES, (None, "", "_grouped"), strict=True):
            kinds = () if ending is None else ("ratio", "cpu_ratio", "flops_ratio")
            cells = [found[f"{name}_items_per_s"], *(found[f"{kind}{ending}"] for kind in kinds)]
            print(f"{case + ' ' + name:16}" + "".join(f"{cell:>10.2f}" for cell in cells), flush=True)


def options_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    default = os.environ.get("BASEREWARD_REAL_DATA", "")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scoring", description="Scoring of real records, packed against padded rows."
    )
    parser.add_argument("--quick", action="store_true", help="3 turns of 8 Comparisons a case")
    parser.add_argument("--data", default=default, help="folder of real data, default $BASEREWARD_REAL_DATA")
    parser.add_argument("--tokenizer", help="folder with tokenizer.json, default DATA/../tokenizers/qwen2_5")
    parser.add_argument("--shape", default="mid", help="size of the model, default mid")
    parser.add_argument("--items", type=int, default=64, help="Comparisons a turn, default 64")
    parser.add_argument("--turns", type=int, default=5, help="turns of each side a case, default 5")
    parser.add_argument("--token-budget", type=int, default=8192, help="tokens of one packed row, default 8,192")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="compute threads, default all CPUs")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    if options.quick:
        options.items, options.turns = 8, 3
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed, 2 where records or tokenizer are not there."""
    options = options_of(argv)
    data = Path(options.data)
    options.tokenizer = options.tokenizer or tokenizer_beside(data)
    if missing := missing_files(data, Path(options.tokenizer), CASES):
        print(f"{', '.join(map(str, missing))}: not there. {CURE}", file=sys.stderr)
        return 2
    facts = hardware("torch", "transformers", device="cpu", dtype="float32", threads=options.threads)
    torch.set_num_threads(options.threads)
    tokenizer = load_tokenizer(options.tokenizer)
    size = ModelSize(shape=options.shape, vocabulary=tokenizer.vocab_size, special_ids=dict(tokenizer.special_ids))
    reference = Reference(size)
    sides = {"ours": Ours(size, options.tokenizer, options.token_budget), "reference": reference, "grouped": reference}
    cases = {}
    for case in CASES:
        cases[case.name] = run_case(case, size, sides, options)
        show({case.name: cases[case.name]})
    figures: dict[str, Any] = {f"ratio_{name}": found["ratio"] for name, found in cases.items()}
    figures["max_reward_difference"] = max(found["max_reward_difference"] for found in cases.values())
    figures |= {f"{name}.{key}": value for name, found in cases.items() for key, value in found.items()}
    return finish("benchmarks.scoring", argv, facts, figures, GOALS, options.output)


if __name__ == "__main__":
    sys.exit(main())
