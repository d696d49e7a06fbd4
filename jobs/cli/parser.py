"""The command line's grammar and help, made from the table of verbs."""

import argparse
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from jobs.cli.command import Action, Group, Verb

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

__all__ = ["parser_of"]


def parser_of(verbs: Mapping[str, Verb | Group | Action]) -> argparse.ArgumentParser:
    """The parser of a whole command line, with a page of help for every verb and action."""
    parser = argparse.ArgumentParser(
        prog="basereward",
        description="Train multimodal reward models from human preferences.",
        epilog="example: basereward demo",
    )
    parser.add_argument("--version", action="version", version=f"basereward {_version()}")
    places = parser.add_subparsers(dest="verb", metavar="VERB", title="verbs")
    for name, verb in verbs.items():
        if isinstance(verb, Group):
            _add_group(places, name, verb)
        elif isinstance(verb, Action):
            _add_action(places, name, verb)
        else:
            _add_verb(places, name, verb)
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
