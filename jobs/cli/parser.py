"""The command line's grammar and help, made from the table of commands."""

import argparse
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from jobs.cli.command import CommandGroup, PlainCommand, RecipeCommand

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["parser_of"]


def parser_of(commands: Mapping[str, RecipeCommand | CommandGroup | PlainCommand]) -> argparse.ArgumentParser:
    """The parser of a whole command line, with a page of help for every command.

    What it reads has ``command``, in a group ``subcommand``, ``arguments`` and the flags of the command.
    """
    parser = argparse.ArgumentParser(
        prog="basereward",
        usage="basereward COMMAND [RECIPE] [key=value ...] [--help] [--version]",
        description="Train multimodal reward models from human preferences.",
        epilog="example: basereward demo",
    )
    parser.add_argument("--version", action="version", version=f"basereward {_version()}")
    parsers = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", prog="basereward")
    for name, command in commands.items():
        if isinstance(command, CommandGroup):
            _add_group(parsers, name, command)
        elif isinstance(command, PlainCommand):
            _add_plain_command(parsers, name, command)
        else:
            _add_recipe_command(parsers, name, command)
    return parser


def _add_recipe_command(parsers: "Subparsers", name: str, command: RecipeCommand) -> None:
    optional = f"; default: {command.default_recipe}" if command.default_recipe else ""
    flags = [f"[--{flag}]" for flag in command.flags]
    child = parsers.add_parser(
        name,
        help=command.summary,
        description=_sentence(command.summary),
        epilog=f"example: {command.example}",
        usage=" ".join([f"basereward {name} [RECIPE] [key=value ...]", *flags, "[--address A] [--debug]"]),
    )
    child.add_argument(
        "arguments",
        nargs="*",
        metavar="RECIPE key=value",
        help=f"a packaged recipe's name or a .yaml path{optional}; then overrides, such as run_dir=runs/mine",
    )
    for flag, explanation in command.flags.items():
        child.add_argument(f"--{flag}", action="store_true", help=explanation)
    child.add_argument("--address", metavar="A", help="a running Ray cluster, host:port or auto; default: start one")
    _add_debug(child)


def _add_group(parsers: "Subparsers", name: str, group: CommandGroup) -> None:
    child = parsers.add_parser(
        name,
        help=group.summary,
        description=_sentence(group.summary),
        epilog="\n".join(f"example: {command.example}" for command in group.commands.values()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    child.set_defaults(show_help=child.print_help)
    members = child.add_subparsers(dest="subcommand", metavar="COMMAND", title="commands")
    for short, command in group.commands.items():
        _add_plain_command(members, f"{name} {short}", command)


def _add_plain_command(parsers: "Subparsers", name: str, command: PlainCommand) -> None:
    """Add a command under the last word of its full `name`."""
    options = "; ".join(f"{key}: {one.help} (default {one.default})" for key, one in command.options.items())
    child = parsers.add_parser(
        name.rpartition(" ")[2],
        help=command.summary,
        description=_sentence(command.summary),
        epilog=f"example: {command.example}",
        usage=command.usage(name),
    )
    positionals = f"{command.positionals_help}{'; then options: ' if options else ''}" if command.positionals else ""
    child.add_argument(
        "arguments",
        nargs="*",
        metavar=" ".join(command.positionals) or "key=value",
        help=f"{positionals}{options}".replace("%", "%%"),
    )
    for flag, explanation in command.flags.items():
        letters = [f"-{command.short[flag]}"] if flag in command.short else []
        child.add_argument(*letters, f"--{flag}", action="store_true", help=explanation)
    for key, one in command.value_flags.items():
        if one.repeat:
            child.add_argument(f"--{key}", metavar=one.metavar, help=one.help, action="append", default=[])
        else:
            child.add_argument(f"--{key}", metavar=one.metavar, help=one.help)
    _add_debug(child)


def _add_debug(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--debug", action="store_true", help="show the whole traceback of an error")


def _sentence(summary: str) -> str:
    return f"{summary[0].upper()}{summary[1:]}."


def _version() -> str:
    try:
        return version("basereward")
    except PackageNotFoundError:
        return "(not installed: run `make install`)"
