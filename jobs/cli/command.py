"""The kinds of commands; `jobs.cli.commands` has the table of them.

RecipeCommand   basereward NAME RECIPE [key=value ...]          its function gets the checked Recipe
PlainCommand    basereward NAME POSITIONAL ... [key=value ...]  its function gets the arguments, returns the exit code
CommandGroup    basereward GROUP NAME ...                       several plain commands
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from data_pipeline.bounds import UNBOUNDED, Bounds
from data_pipeline.errors import RecipeError

__all__ = [
    "ADDRESS", "EXIT_FAILED", "EXIT_USER", "CommandGroup", "Option", "PlainCommand", "RecipeCommand", "ValueFlag",
]  # fmt: skip

EXIT_FAILED = 1
EXIT_USER = 2

Value = int | str | None


@dataclass(frozen=True)
class RecipeCommand:
    """A command that runs a recipe."""

    summary: str
    target: str
    """``module:function``, imported only when the command is called."""
    example: str
    default_recipe: str | None = None
    flags: Mapping[str, str] = field(default_factory=dict)
    """``--flag`` and what it does; the function gets it by name, with ``_`` for ``-``."""
    has_variants: bool = False
    """The function also gets ``variants``: ``{key: value}`` -> the recipe with these settings over all others."""
    model_key: str | None = None
    """In the place of a recipe a model may be named, which this key gets; all others have their defaults."""

    def load(self) -> Callable[..., None]:
        """Import the command's function."""
        loaded: Callable[..., None] = _imported(self.target)
        return loaded


@dataclass(frozen=True)
class Option:
    """A ``key=value``; the value has the type of its default, and None is the default of a text that may be missing."""

    default: Value
    help: str
    bounds: Bounds = UNBOUNDED
    """The bounds of a number."""

    def read(self, name: str, text: str) -> Value:
        """The value in `text`.

        Raises:
            RecipeError: the option is a number, and `text` is no whole number or is out of bounds.
        """
        if not isinstance(self.default, int):
            return text
        try:
            number = int(text)
        except ValueError as error:
            raise RecipeError(f"{name}={text} must be a whole number, such as {name}={self.default}") from error
        self.bounds.check(name, number)
        return number


@dataclass(frozen=True)
class ValueFlag:
    """A ``--name VALUE``; the function gets the text, or None where it was not given."""

    metavar: str
    help: str
    repeat: bool = False
    """It may be given several times; the function gets a list, empty where it was not given."""


@dataclass(frozen=True)
class PlainCommand:
    """A command without a recipe, alone or in a group."""

    summary: str
    target: str
    """``module:function``, imported only when the command is called; it returns the exit code."""
    example: str
    positionals: tuple[str, ...]
    """What the positional arguments are, for help and errors."""
    options: Mapping[str, Option] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    """``--flag`` and what it does; the function gets it by name."""
    positionals_help: str = (
        "the output folder of basereward preprocess, local or s3://, its manifest.json, or one of its "
        "manifests/ADDRESS.json"
    )
    """What the positional arguments may be."""
    value_flags: Mapping[str, ValueFlag] = field(default_factory=dict)
    """``--name VALUE``; the function gets it by name, with ``_`` for ``-``."""
    short: Mapping[str, str] = field(default_factory=dict)
    """Letters for flags: ``{"follow": "f"}`` is ``-f``."""
    raw_arguments: bool = False
    """The function gets positional arguments and ``key=value`` unread, in one list."""
    wants_recipe_commands: bool = False
    """The function also gets ``recipe_commands``: name of every `RecipeCommand` -> its default recipe, or None."""
    exit_failed: int = EXIT_FAILED
    """The exit code of a failure that the caller may not be able to fix."""

    def usage(self, name: str) -> str:
        """How to write it: ``basereward data show FOLDER [output=...] [--debug]``."""
        options = [f"[{key}={'...' if one.default is None else one.default}]" for key, one in self.options.items()]
        flags = [f"[-{self.short[flag]}]" if flag in self.short else f"[--{flag}]" for flag in self.flags]
        value_flags = [f"[--{key} {one.metavar}]" for key, one in self.value_flags.items()]
        return " ".join(["basereward", name, *self.positionals, *options, *flags, *value_flags, "[--debug]"])

    def run(self, name: str, arguments: Sequence[str], flags: Mapping[str, object]) -> int:
        """Call the function; returns its exit code.

        Args:
            arguments: positional ones and ``key=value``.
            flags: values of flags by their names.

        Raises:
            RecipeError: too few or too many positional arguments, or an unknown option.
        """
        function: Callable[..., int] = _imported(self.target)
        given = {key.replace("-", "_"): value for key, value in flags.items()}
        if self.raw_arguments:
            return function(list(arguments), **given)
        settings = [argument for argument in arguments if _is_setting(argument)]
        positionals = [argument for argument in arguments if not _is_setting(argument)]
        if len(positionals) != len(self.positionals):
            wanted = " and ".join(self.positionals) or "no positional arguments"
            got = ", ".join(map(repr, positionals)) if positionals else "none"
            raise RecipeError(f"{name} needs {wanted}, got {got}: for example {self.example}")
        options = {key.replace(".", "_"): value for key, value in self._read_options(name, settings).items()}
        return function(*positionals, **options, **given)

    def _read_options(self, name: str, settings: Sequence[str]) -> dict[str, Value]:
        values = {key: one.default for key, one in self.options.items()}
        for setting in settings:
            key, _, text = setting.partition("=")
            if key not in self.options:
                raise RecipeError(f"{name} has no option {key!r}{self._nearest(key)}")
            values[key] = self.options[key].read(key, text)
        return values

    def _nearest(self, key: str) -> str:
        if not self.options:
            return ": it takes none"
        near = get_close_matches(key, self.options, n=1)
        return f": did you mean {near[0]!r}?" if near else f": it has {', '.join(self.options)}"


@dataclass(frozen=True)
class CommandGroup:
    """Several commands under one name."""

    summary: str
    commands: Mapping[str, PlainCommand]


def _imported(target: str) -> Any:
    """The function that ``module:function`` names."""
    module, _, function = target.partition(":")
    return getattr(import_module(module), function)


def _is_setting(argument: str) -> bool:
    """``key=value``; a path may hold "=" behind a slash."""
    return "=" in argument and "/" not in argument.partition("=")[0]


ADDRESS = ValueFlag("A", "the head's Jobs API, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS, or this machine")
