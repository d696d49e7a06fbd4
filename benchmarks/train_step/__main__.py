"""Seconds a Comparison of training on real records: packed rows against the padded rows of the public trainers.

    ours        packed rows: prompt and image once a Comparison, no padding
    reference   K full sequences a Comparison, padded 4 Comparisons at a time, the image encoded for each of them
    grouped     the same reference, given the Comparisons by length, so that it pads least

In the case `k2_grouped_prompts` ours gets the pairs of one prompt as `preprocess.group_prompts` groups them, and the
references get them apart.

A step is preparation, forward, backward, clipping and AdamW over 8 Comparisons (there: over those of one prompt, 4 to
9). The sides have the same weights and
take turns. From the project's root (see benchmarks/README.md):

    BASEREWARD_REAL_DATA=FOLDER python -m benchmarks.train_step --quick

The last line printed is one JSON object: figures and goals.
"""

import argparse
import math
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from benchmarks.common.goals import Goals, finish, hardware
from benchmarks.train_step.counts import as_padded_as, counts, grouped
from benchmarks.train_step.figures import Turns, figures_of, show, summary
from benchmarks.train_step.prompts import PROMPTS, given_prompts, prompts_of, sample_prompts
from benchmarks.train_step.records import CASES, Case, encoded_pool, missing_files, sample, tokenizer_beside
from benchmarks.train_step.rivals import RIVAL_OF, installed, run_rival
from benchmarks.train_step.sides import ModelSize
from benchmarks.train_step.turns import SIDES, STEP_BATCH, Given, Worker, in_steps, worker
from data_pipeline.encoding.encoder import EncodedComparison
from data_pipeline.encoding.tokenizer import ChatTokenizer, load_tokenizer

GOALS: Goals = {
    **{f"ratio_{case.name}": ("at_least", case.goal) for case in CASES},
    f"ratio_{PROMPTS}": ("at_least", 4.0),
    "of_bound_min": ("at_least", 0.85),
    "ratio_peak_memory": ("at_most", 1.0),
    "max_reward_difference": ("at_most", 1e-3),
}
CURE = (
    "Set BASEREWARD_REAL_DATA (or --data) to the folder of the real sets and --tokenizer to a folder with Qwen2.5's "
    "tokenizer.json: see benchmarks/README.md"
)


def measure(sides: dict[str, Worker], turns: Sequence[Given]) -> Turns:
    """Every side's turns over the same Comparisons; who begins changes, so that a busy moment meets all of them.

    Each process first takes a step that is not counted: in new memory it takes up to 1.5 times its seconds.
    """
    for name in ("ours", "reference"):
        sides[name].turn(getattr(turns[0], name)[:1])
    done: Turns = {name: [] for name in SIDES}
    for number, given in enumerate(turns):
        for name in SIDES if number % 2 == 0 else reversed(SIDES):
            done[name].append(sides[name].turn(getattr(given, name)))
    return done


def measured(turns: Sequence[Given], size: ModelSize, options: argparse.Namespace) -> dict[str, Any]:
    """The figures of all sides over these turns."""
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(worker(name, size, token_budget=options.token_budget, threads=options.threads))
            for name in ("ours", "reference")
        }
        found = measure(sides | {"grouped": sides["reference"]}, turns)
    return figures_of(found, turns, size)


def run_prompts(data: Path, size: ModelSize, options: argparse.Namespace) -> dict[str, Any]:
    """Prepare the pairs of the first case in groups of one prompt, and measure all sides on some of the prompts."""
    pool = prompts_of(CASES[0], data, options.tokenizer, max_tokens=options.token_budget)
    a_turn = max(1, options.comparisons // STEP_BATCH)
    chosen = sample_prompts(pool, options.turns * a_turn)
    turns = [given_prompts(chosen[start : start + a_turn]) for start in range(0, len(chosen), a_turn)]
    whole = given_prompts(pool)
    pool_counts = counts(whole.records, whole.packed)
    found = {f"pool_{name}": value for name, value in pool_counts.items() if name.startswith("fewer")}
    return {"pool": len(whole.records), "prompts": len(chosen), **measured(turns, size, options), **found}


def run_case(
    case: Case, data: Path, tokenizer: ChatTokenizer, size: ModelSize, options: argparse.Namespace
) -> dict[str, Any]:
    """Read the case's records and measure all sides on them."""
    pool = encoded_pool(case, data, tokenizer)
    chosen = sample(pool, options.turns * options.comparisons)
    chosen = as_padded_as(pool, chosen, seed=options.seed)
    parts = [chosen[start : start + options.comparisons] for start in range(0, len(chosen), options.comparisons)]
    turns = [Given(ours=in_steps(one), reference=in_steps(one), grouped=in_steps(grouped(one))) for one in parts]
    whole = as_padded_as(pool, pool, seed=options.seed, trials=1)
    pool_counts = {f"pool_{name}": value for name, value in counts(whole).items() if name.startswith("fewer")}
    figures = {"pool": len(pool), **measured(turns, size, options), **pool_counts}
    rival = RIVAL_OF.get(case.name)
    python = next((python for python in options.rivals if rival and installed(rival, python)), None)
    if rival and python:
        run = run_rival(rival, python, whole_steps(chosen), size, options.tokenizer, threads=options.threads)
        figures |= {f"{rival}_{name}": value for name, value in run.items()}
        figures[f"ratio_{rival}"] = run["s"] / figures["ours_s"]
        figures[f"cpu_ratio_{rival}"] = run["cpu_s"] / figures["ours_cpu_s"]
    return figures


def whole_steps(chosen: Sequence[EncodedComparison]) -> list[EncodedComparison]:
    """A step of warm-up, and then all of `chosen`, from the start again until the last step is whole."""
    steps = 1 + math.ceil(len(chosen) / STEP_BATCH)
    return list(islice(cycle(chosen), steps * STEP_BATCH))


def options_of(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    default = os.environ.get("BASEREWARD_REAL_DATA", "")
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.train_step",
        description="Training steps on real records, packed against padded rows.",
    )
    parser.add_argument("--quick", action="store_true", help="1 turn of 5 Comparisons a case")
    parser.add_argument("--data", default=default, help="folder of real data, default $BASEREWARD_REAL_DATA")
    parser.add_argument("--tokenizer", help="folder with tokenizer.json, default DATA/../tokenizers/qwen2_5")
    parser.add_argument("--shape", default="mid", help="size of the model, default mid")
    parser.add_argument("--cases", nargs="+", choices=[*(case.name for case in CASES), PROMPTS], help="default all")
    parser.add_argument("--comparisons", type=int, default=32, help="Comparisons a turn, default 32")
    parser.add_argument("--turns", type=int, default=3, help="turns of each side a case, default 3")
    parser.add_argument("--token-budget", type=int, default=4096, help="tokens of one packed row, default 4,096")
    parser.add_argument("--seed", type=int, default=0, help="seed of the order")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="compute threads a side, default all CPUs")
    parser.add_argument("--rivals", metavar="PYTHON", nargs="+", default=[], help="interpreters with trl or ms-swift")
    parser.add_argument("--output", help="a file for the JSON object, with command and hardware")
    options = parser.parse_args(argv)
    if options.quick:
        options.comparisons, options.turns = 5, 1
    return options


def main(argv: Sequence[str] | None = None) -> int:
    """Measure; 1 where a goal is missed, 2 where records or tokenizer are not there."""
    options = options_of(argv)
    data = Path(options.data)
    options.tokenizer = options.tokenizer or tokenizer_beside(data)
    if missing := missing_files(data, Path(options.tokenizer)):
        print(f"{', '.join(map(str, missing))}: not there. {CURE}", file=sys.stderr)
        return 2
    facts = hardware("torch", "transformers", device="cpu", dtype="float32", threads=options.threads)
    tokenizer = load_tokenizer(options.tokenizer)
    size = ModelSize(shape=options.shape, vocabulary=tokenizer.vocab_size, special_ids=dict(tokenizer.special_ids))
    chosen = [case for case in CASES if options.cases is None or case.name in options.cases]
    cases = {}
    for case in chosen:
        cases[case.name] = run_case(case, data, tokenizer, size, options)
        show({case.name: cases[case.name]})
    if options.cases is None or PROMPTS in options.cases:
        cases[PROMPTS] = run_prompts(data, size, options)
        show({PROMPTS: cases[PROMPTS]})
    figures = summary(cases)
    goals = {name: goal for name, goal in GOALS.items() if name in figures}
    return finish("benchmarks.train_step", argv, facts, figures, goals, options.output)


if __name__ == "__main__":
    sys.exit(main())
