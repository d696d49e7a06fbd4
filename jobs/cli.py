"""`basereward VERB [RECIPE] [key=value ...]`: parse, load the recipe, call the verb, turn errors into exit codes.

Most verbs take a recipe. An `Action`, such as ``compare``, takes places: ``compare RUN RUN``, or reads its own words,
as ``submit`` does. A `Group`, such as ``data``, has several of them: ``data show FOLDER``.

Exit codes: 0 done; 1 a run failed, or ``data verify`` found a bad file; 2 the caller can fix it (one line says how);
130 Ctrl-C; 143 ended by SIGTERM. ``data diff`` is like diff: 0 the same, 1 different, 2 any error.
"""

import argparse
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from data_pipeline.errors import RecipeError, RunError, UserError
from jobs.actions import EXIT_FAILED, Action, Group, Option
from jobs.cluster_verbs import CLUSTER, JOBS, SUBMIT
from jobs.termination import Terminated, sigterm_raises, was_terminated

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["VERBS", "Verb", "main"]

EXIT_USER = 2
EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


@dataclass(frozen=True)
class Verb:
    """One thing the command can do."""

    summary: str
    target: str
    """``module:function``, imported only when the verb is called."""
    example: str
    default_recipe: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    """``--flag`` and what it does; the function gets it by name, with ``_`` for ``-``."""
    has_variants: bool = False
    """The function also gets ``variants``: ``{key: value}`` -> the recipe with these settings over all others."""

    def load(self) -> "Callable[..., None]":
        """Import the verb's function."""
        module, _, function = self.target.partition(":")
        loaded: Callable[..., None] = getattr(import_module(module), function)
        return loaded


VERBS: dict[str, Verb | Group | Action] = {
    "init-model": Verb(
        "write a model folder with random weights, a tokenizer and a processor",
        "jobs.init_model:run",
        "basereward init-model demo init_model.shape=tiny",
    ),
    "preprocess": Verb(
        "turn raw preference records into checked, tokenised Arrow shards",
        "jobs.preprocess:run",
        "basereward preprocess demo preprocess.workers=4",
    ),
    "plan": Verb(
        "say whether a training fits its GPUs, how long it takes and what it costs",
        "jobs.plan:run",
        "basereward plan scale/7b_zero2 plan.gpus=64 plan.gpu=h100-80gb",
    ),
    "train": Verb(
        "train a reward model on prepared shards",
        "jobs.train:run",
        "basereward train demo train.zero.stage=3 train.num_workers=2",
    ),
    "evaluate": Verb(
        "measure a reward model on held-out Comparisons and write a report",
        "jobs.evaluate:run",
        "basereward evaluate demo evaluate.split=heldout",
    ),
    "compare": Action(
        "compare two evaluated models on the same Comparisons: which is better, and is it more than chance",
        "jobs.compare:run",
        "basereward compare 3f0c 81ab recipe=demo",
        places=("RUN", "RUN"),
        options={
            "recipe": Option(None, "the recipe whose MLflow store has the runs"),
            "tracking.uri": Option(None, "that store itself"),
            "output": Option("compare.html", "the page"),
            "items": Option(20, "Comparisons to list for each side"),
            "confidence": Option(95, "of the intervals, in percent"),
        },
        flags={
            "json": "print JSON in place of tables and page",
            "common": "compare what both scored, leave out the rest",
        },
        places_help="an MLflow run, by the beginning of its id or its name, or a folder with scored.parquet, local or "
        "s3://",
    ),
    "score": Verb(
        "add rewards to JSON lines",
        "jobs.score:run",
        "basereward score demo score.input=mine.jsonl score.output=scored.jsonl",
    ),
    "sweep": Verb(
        "train and evaluate a recipe in many variants, several at once, and report on them",
        "jobs.sweep:run",
        "basereward sweep mine.yaml sweep.max_concurrent=4 --dry-run",
        flags={"dry-run": "print the trials, their GPUs, hours and cost, and start nothing"},
        has_variants=True,
    ),
    "ensemble": Verb(
        "put several reward models together as one registered model, fitted and judged on held-out Comparisons",
        "jobs.ensemble:run",
        "basereward ensemble mine.yaml ensemble.rule=accuracy",
    ),
    "promote": Verb(
        "make the candidate the champion, if it is better on the same held-out Comparisons",
        "jobs.promote:run",
        "basereward promote mine.yaml",
    ),
    "models": Group(
        "registered models: list them, register a trained one",
        {
            "list": Action(
                "list every version of every registered model with its aliases",
                "jobs.models:list_versions",
                "basereward models list tracking=sqlite:///runs/demo/mlflow.db",
                places=(),
                options={"tracking": Option(None, "the MLflow store; unset: MLFLOW_TRACKING_URI")},
            ),
            "register": Action(
                "make a trained model the next version of a registered model",
                "jobs.models:register",
                "basereward models register runs/demo/train/export demo-7b tracking=sqlite:///runs/demo/mlflow.db",
                places=("MODEL", "NAME"),
                options={"tracking": Option(None, "the MLflow store; unset: MLFLOW_TRACKING_URI")},
                places_help="an export of basereward train, runs:/RUN_ID or models:/MODEL_ID; and the name",
            ),
        },
    ),
    "runs": Verb(
        "list the runs of a recipe's MLflow experiment: state, progress, loss, held-out accuracy",
        "jobs.runs:run",
        "basereward runs demo",
    ),
    "ui": Verb(
        "open MLflow's pages of a recipe's runs in a browser: serves an SQLite store here, names a server's address",
        "jobs.ui:run",
        "basereward ui demo tracking.ui_port=5000",
    ),
    "data": Group(
        "look at prepared data: show a page, compare two, verify the files",
        {
            "show": Action(
                "write one HTML page about prepared data: counts, sizes, refused records, Comparisons to look at",
                "jobs.data:show",
                "basereward data show runs/demo/shards samples=50",
                places=("FOLDER",),
                options={
                    "output": Option("data.html", "the page"),
                    "samples": Option(24, "Comparisons to show, 0 to 200"),
                    "seed": Option(0, "another seed shows others"),
                },
            ),
            "diff": Action(
                "say what changed between two preparations: settings, inputs, counts, Comparisons",
                "jobs.data:diff",
                "basereward data diff shards/manifests/1f0c.json shards",
                places=("A", "B"),
                flags={"json": "print JSON in place of tables"},
                failed=EXIT_USER,
            ),
            "verify": Action(
                "read every file of prepared data against its checksum",
                "jobs.data:verify",
                "basereward data verify s3://bucket/shards",
                places=("FOLDER",),
            ),
        },
    ),
    "submit": SUBMIT,
    "jobs": JOBS,
    "cluster": CLUSTER,
    "demo": Verb(
        "run the whole way on synthetic data: records, shards, training, report",
        "jobs.demo:run",
        "basereward demo",
        default_recipe="demo",
    ),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if any(word.startswith("-") or "=" not in word for word in rest):
        parser.error(f"unknown arguments: {' '.join(rest)}")
    if arguments.verb is None:
        parser.print_help()
        return EXIT_USER
    verb = VERBS[arguments.verb]
    called = arguments.verb
    if isinstance(verb, Group):
        if arguments.action is None:
            arguments.show_help()
            return EXIT_USER
        verb, called = verb.actions[arguments.action], f"{called} {arguments.action}"
    failed = verb.failed if isinstance(verb, Action) else EXIT_FAILED
    try:
        with sigterm_raises():
            words = [*arguments.words, *rest]  # argparse leaves over what follows an option
            return _run(verb, called, arguments, words)
    except UserError as error:
        return _report(error, EXIT_USER, debug=arguments.debug)
    except RunError as error:
        return _report(error, failed, debug=arguments.debug)
    except KeyboardInterrupt:
        _complain("stopped by Ctrl-C; the same command goes on from what is finished")
        return EXIT_INTERRUPTED
    except (Terminated, Exception):
        if was_terminated():
            _complain("ended by SIGTERM; the same command goes on from what is finished")
            return EXIT_TERMINATED
        traceback.print_exc()  # an unexpected failure is shown in full: its cause is not known beforehand
        return failed


def _run(verb: Verb | Action, called: str, arguments: argparse.Namespace, words: list[str]) -> int:
    if isinstance(verb, Action):
        given = {key: getattr(arguments, key.replace("-", "_")) for key in (*verb.flags, *verb.values)}
        return verb.run(called, words, given)
    from jobs.recipe_file import load_recipe, packaged_recipes

    named = words[0] if words and "=" not in words[0] else None
    overrides = words[1:] if named is not None else words
    recipe_name = named or verb.default_recipe
    if recipe_name is None:
        names = ", ".join(packaged_recipes())
        raise RecipeError(f"{arguments.verb} needs a recipe: one of {names}, or the path of a .yaml file")
    if arguments.address is not None:
        overrides = [*overrides, f"cluster.address={arguments.address}"]
    more = {flag.replace("-", "_"): getattr(arguments, flag.replace("-", "_")) for flag in verb.flags}
    if verb.has_variants:
        more["variants"] = partial(load_recipe, recipe_name, overrides)
    verb.load()(load_recipe(recipe_name, overrides), **more)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="basereward",
        description="Train multimodal reward models from human preferences.",
        epilog="example: basereward demo",
    )
    parser.add_argument("--version", action="version", version=f"basereward {_version()}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, verb in VERBS.items():
        if isinstance(verb, Group):
            _add_group(verbs, name, verb)
        elif isinstance(verb, Action):
            _add_action(verbs, name, verb)
        else:
            _add_verb(verbs, name, verb)
    return parser


def _add_verb(verbs: "Subparsers", name: str, verb: Verb) -> None:
    optional = f"; default: {verb.default_recipe}" if verb.default_recipe else ""
    child = verbs.add_parser(
        name,
        help=verb.summary,
        description=_sentence(verb.summary),
        epilog=f"example: {verb.example}",
        usage=" ".join(
            [
                f"basereward {name} [RECIPE] [key=value ...]",
                *(f"[--{flag}]" for flag in verb.flags),
                "[--address A] [--debug]",
            ]
        ),
    )
    child.add_argument(
        "words",
        nargs="*",
        metavar="RECIPE key=value",
        help=f"a packaged recipe's name or a .yaml path{optional}; then overrides, such as run_dir=runs/mine",
    )
    for flag, told in verb.flags.items():
        child.add_argument(f"--{flag}", action="store_true", help=told)
    child.add_argument("--address", metavar="A", help="a running Ray cluster, host:port or auto; default: start one")
    child.add_argument("--debug", action="store_true", help="show the whole traceback of an error")


def _add_group(verbs: "Subparsers", name: str, group: Group) -> None:
    examples = "\n".join(f"example: {action.example}" for action in group.actions.values())
    child = verbs.add_parser(
        name,
        help=group.summary,
        description=_sentence(group.summary),
        epilog=examples,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    child.set_defaults(show_help=child.print_help)
    actions = child.add_subparsers(dest="action", metavar="ACTION", title="actions")
    for short, action in group.actions.items():
        _add_action(actions, f"{name} {short}", action)


def _add_action(parsers: "Subparsers", name: str, action: Action) -> None:
    """Add an action under the last word of its full `name`."""
    options = "; ".join(f"{key}: {one.help} (default {one.default})" for key, one in action.options.items())
    child = parsers.add_parser(
        name.rpartition(" ")[2],
        help=action.summary,
        description=_sentence(action.summary),
        epilog=f"example: {action.example}",
        usage=action.usage(name),
    )
    places = f"{action.places_help}{'; then options: ' if options else ''}" if action.places else ""
    child.add_argument(
        "words",
        nargs="*",
        metavar=" ".join(action.places) or "key=value",
        help=f"{places}{options}".replace("%", "%%"),
    )
    for flag, told in action.flags.items():
        letters = [f"-{action.short[flag]}"] if flag in action.short else []
        child.add_argument(*letters, f"--{flag}", action="store_true", help=told)
    for key, valued in action.values.items():
        if valued.repeat:
            child.add_argument(f"--{key}", metavar=valued.metavar, help=valued.help, action="append", default=[])
        else:
            child.add_argument(f"--{key}", metavar=valued.metavar, help=valued.help)
    child.add_argument("--debug", action="store_true", help="show the whole traceback of an error")


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _version() -> str:
    try:
        return version("basereward")
    except PackageNotFoundError:
        return "(not installed: run `make install`)"


def _report(error: Exception, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    _complain(f"error: {error}")
    return code


def _complain(message: str) -> None:
    print(f"basereward: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
