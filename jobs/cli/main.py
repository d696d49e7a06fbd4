"""`basereward VERB [RECIPE] [key=value ...]`: parse, load the recipe, call the verb, turn errors into exit codes.

Exit codes: 0 done; 1 a run failed, or ``data verify`` found a bad file; 2 the caller can fix it (one line says how);
130 Ctrl-C; 143 ended by SIGTERM. ``data diff`` is like diff: 0 the same, 1 different, 2 any error.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from functools import partial

from data_pipeline.errors import RecipeError, RunError, UserError
from jobs.cli.command import EXIT_FAILED, EXIT_USER, Action, Group, Verb
from jobs.cli.commands import VERBS
from jobs.cli.parser import parser_of
from jobs.runtime.termination import Terminated, sigterm_raises, was_terminated

__all__ = ["main"]

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    parser = parser_of(VERBS)
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
    from jobs.recipe.load import load_recipe, packaged_recipes

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


def _report(error: Exception, code: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    _complain(f"error: {error}")
    return code


def _complain(message: str) -> None:
    print(f"basereward: {message}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
