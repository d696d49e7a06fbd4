"""`basereward COMMAND [RECIPE] [key=value ...]`: parse, load the recipe, call the command, errors to exit codes.

Exit codes: 0 done; 1 a run failed, or ``data verify`` found a bad file; 2 the caller can fix it (one line says how);
130 ended by Ctrl-C; 143 by SIGTERM. ``data diff`` is like diff: 0 the same, 1 different, 2 any error.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from functools import partial

from data_pipeline.errors import RecipeError
from data_pipeline.shown import masked
from jobs.cli.command import EXIT_FAILED, EXIT_USER, CommandGroup, PlainCommand, RecipeCommand
from jobs.cli.commands import COMMANDS
from jobs.cli.parser import parser_of
from jobs.recipe.addresses import check_no_secrets_in_arguments
from jobs.runtime.ends import explained
from jobs.runtime.termination import Terminated, exit_code_of, stop_signals_raise, uninterrupted

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Args:
        argv: None: those of this process, which ends then.
    """
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
    code = _exit_code(name, command, parsed)
    if argv is None and code in (exit_code_of(signal.SIGINT), exit_code_of(signal.SIGTERM)):
        _end_at_once_by_signals(code)
    return code


def _exit_code(name: str, command: RecipeCommand | PlainCommand, parsed: argparse.Namespace) -> int:
    """Run the command; its errors become messages and exit codes."""
    with stop_signals_raise():
        try:
            _check_no_secrets(parsed)
            if isinstance(command, PlainCommand):
                return _run_plain(name, command, parsed)
            _run_recipe(name, command, parsed)
            return 0
        except (KeyboardInterrupt, Terminated, Exception) as error:
            with uninterrupted():
                failed = command.exit_failed if isinstance(command, PlainCommand) else EXIT_FAILED
                return explained(error, failed, debug=parsed.debug)


def _end_at_once_by_signals(code: int) -> None:
    """One more Ctrl-C while Python closes down would print Python's traceback, and may give another exit code."""
    sys.stdout.flush()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: os._exit(code))


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
    from jobs.recipe.hub_models import with_hub_models
    from jobs.recipe.load import load_recipe, packaged_recipes, split_arguments
    from jobs.recipe.named_model import is_recipe, settings_of_model
    from jobs.runtime.terminal import say

    named, overrides = split_arguments(parsed.arguments)
    recipe_name = named or command.default_recipe
    if recipe_name is None:
        names = ", ".join(packaged_recipes())
        raise RecipeError(f"{name} needs a recipe: one of {names}, or the path of a .yaml file")
    if parsed.address is not None:
        overrides = [*overrides, f"cluster.address={parsed.address}"]
    if command.model_key is not None and not is_recipe(recipe_name):
        overrides = [*settings_of_model(recipe_name, command.model_key), *overrides]
        recipe_name = None
    more = {flag.replace("-", "_"): getattr(parsed, flag.replace("-", "_")) for flag in command.flags}
    if command.has_variants:
        more["variants"] = partial(load_recipe, recipe_name, overrides)
    command.load()(with_hub_models(name, load_recipe(recipe_name, overrides), report=say), **more)


if __name__ == "__main__":
    sys.exit(main())
