"""`basereward COMMAND [RECIPE] [key=value ...]`: parse, load the recipe, call the command, errors to exit codes.

Exit codes: 0 done; 1 a run failed, or ``data verify`` found a bad file; 2 the caller can fix it (one line says how);
130 Ctrl-C; 143 ended by SIGTERM. ``data diff`` is like diff: 0 the same, 1 different, 2 any error.
"""

import argparse
import sys
import traceback
from collections.abc import Sequence
from functools import partial

from data_pipeline.errors import RecipeError, RunError, UserError
from data_pipeline.shown import masked, printable
from jobs.cli.command import EXIT_FAILED, EXIT_USER, CommandGroup, PlainCommand, RecipeCommand
from jobs.cli.commands import COMMANDS
from jobs.cli.parser import parser_of
from jobs.recipe.addresses import check_no_secrets_in_arguments
from jobs.runtime.termination import Terminated, sigterm_raises, was_terminated

__all__ = ["main"]

EXIT_INTERRUPTED = 130
EXIT_TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    parser = parser_of(COMMANDS)
    parsed, rest = parser.parse_known_args(argv)
    if any(argument.startswith("-") or "=" not in argument for argument in rest):
        parser.error(masked(f"unknown arguments: {' '.join(rest)}"))
    if parsed.command is None:
        parser.print_help()
        return EXIT_USER
    name, command = parsed.command, COMMANDS[parsed.command]
    if isinstance(command, CommandGroup):
        if parsed.subcommand is None:
            parsed.show_help()
            return EXIT_USER
        name, command = f"{name} {parsed.subcommand}", command.commands[parsed.subcommand]
    parsed.arguments += rest  # argparse leaves over what follows an option
    return _exit_code(name, command, parsed)


def _exit_code(name: str, command: RecipeCommand | PlainCommand, parsed: argparse.Namespace) -> int:
    """Run the command; its errors become messages and exit codes."""
    failed = command.exit_failed if isinstance(command, PlainCommand) else EXIT_FAILED
    try:
        _check_no_secrets(parsed)
        with sigterm_raises():
            if isinstance(command, PlainCommand):
                return _run_plain(name, command, parsed)
            _run_recipe(name, command, parsed)
            return 0
    except UserError as error:
        return _report(error, EXIT_USER, debug=parsed.debug)
    except RunError as error:
        return _report(error, failed, debug=parsed.debug)
    except KeyboardInterrupt:
        _complain("stopped by Ctrl-C; the same command goes on from what is finished")
        return EXIT_INTERRUPTED
    except (Terminated, Exception):
        if was_terminated():
            _complain("ended by SIGTERM; the same command goes on from what is finished")
            return EXIT_TERMINATED
        _print_traceback()  # an unexpected failure is shown in full: its cause is not known beforehand
        return failed


def _check_no_secrets(parsed: argparse.Namespace) -> None:
    """Refuse a password in any argument, before anything is done with it."""
    given = [one for value in vars(parsed).values() for one in (value if isinstance(value, list) else [value])]
    check_no_secrets_in_arguments([one for one in given if isinstance(one, str)])


def _run_plain(name: str, command: PlainCommand, parsed: argparse.Namespace) -> int:
    flags = {key: getattr(parsed, key.replace("-", "_")) for key in (*command.flags, *command.value_flags)}
    if command.wants_recipe_commands:
        with_recipe = {key: one for key, one in COMMANDS.items() if isinstance(one, RecipeCommand)}
        flags["recipe_commands"] = {key: one.default_recipe for key, one in with_recipe.items()}
    return command.run(name, parsed.arguments, flags)


def _run_recipe(name: str, command: RecipeCommand, parsed: argparse.Namespace) -> None:
    from jobs.recipe.load import load_recipe, packaged_recipes, split_arguments

    named, overrides = split_arguments(parsed.arguments)
    recipe_name = named or command.default_recipe
    if recipe_name is None:
        names = ", ".join(packaged_recipes())
        raise RecipeError(f"{name} needs a recipe: one of {names}, or the path of a .yaml file")
    if parsed.address is not None:
        overrides = [*overrides, f"cluster.address={parsed.address}"]
    more = {flag.replace("-", "_"): getattr(parsed, flag.replace("-", "_")) for flag in command.flags}
    if command.has_variants:
        more["variants"] = partial(load_recipe, recipe_name, overrides)
    command.load()(load_recipe(recipe_name, overrides), **more)


def _report(error: Exception, code: int, *, debug: bool) -> int:
    if debug:
        _print_traceback()
    _complain(f"error: {error}")
    return code


def _complain(message: str) -> None:
    print(f"basereward: {printable(masked(message))}", file=sys.stderr)


def _print_traceback() -> None:
    """Of the error that is being handled."""
    print(printable(masked(traceback.format_exc())), file=sys.stderr, end="")


if __name__ == "__main__":
    sys.exit(main())
