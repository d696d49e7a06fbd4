"""What kinds of verbs there are; `jobs.cli.commands` has the table of them.

A `Verb` takes a recipe: ``basereward VERB RECIPE [key=value ...]``. An `Action` takes places, such as folders or jobs:
``basereward ACTION PLACE ... [key=value]``, and a `Group` has several of them: ``basereward GROUP ACTION PLACE ...``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from importlib import import_module

from data_pipeline.bounds import UNBOUNDED, Bounds
from data_pipeline.errors import RecipeError

__all__ = ["ADDRESS", "EXIT_FAILED", "EXIT_USER", "Action", "Group", "Option", "Valued", "Verb"]

EXIT_FAILED = 1
EXIT_USER = 2

Value = int | str | None


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

    def load(self) -> Callable[..., None]:
        """Import the verb's function."""
        module, _, function = self.target.partition(":")
        loaded: Callable[..., None] = getattr(import_module(module), function)
        return loaded


@dataclass(frozen=True)
class Option:
    """A ``key=value`` of an action; the default's type is the value's, None stands for a text that may be missing."""

    default: Value
    help: str
    bounds: Bounds = UNBOUNDED
    """What a number may be."""

    def read(self, name: str, text: str) -> Value:
        """The value in `text`.

        Raises:
            RecipeError: it should be a whole number, and is not, or one out of bounds.
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
class Valued:
    """A ``--name VALUE`` of an action; the function gets the text, or None where it was not given."""

    metavar: str
    help: str
    repeat: bool = False
    """It may be given several times; the function gets a list, empty where it was not given."""


@dataclass(frozen=True)
class Action:
    """One thing that a group does, or a verb of its own."""

    summary: str
    target: str
    """``module:function``, imported only when the action is called; it returns the exit code."""
    example: str
    places: tuple[str, ...]
    """What the arguments in front are, for help and errors."""
    options: Mapping[str, Option] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    """``--flag`` and what it does; the function gets it by name."""
    places_help: str = (
        "the output folder of basereward preprocess, local or s3://, its manifest.json, or one of its "
        "manifests/ADDRESS.json"
    )
    """What the arguments in front may be."""
    values: Mapping[str, Valued] = field(default_factory=dict)
    """``--name VALUE``; the function gets it by name, with ``_`` for ``-``."""
    short: Mapping[str, str] = field(default_factory=dict)
    """Letters for flags: ``{"follow": "f"}`` is ``-f``."""
    open_words: bool = False
    """The function gets all words in one list, in place of places and options."""
    failed: int = EXIT_FAILED
    """The exit code where something went wrong that the caller may not be able to fix."""

    def usage(self, name: str) -> str:
        """How to write it: ``basereward data show FOLDER [output=...] [--debug]``."""
        options = [f"[{key}={'...' if one.default is None else one.default}]" for key, one in self.options.items()]
        flags = [f"[-{self.short[flag]}]" if flag in self.short else f"[--{flag}]" for flag in self.flags]
        valued = [f"[--{key} {one.metavar}]" for key, one in self.values.items()]
        return " ".join(["basereward", name, *self.places, *options, *flags, *valued, "[--debug]"])

    def run(self, name: str, words: Sequence[str], given: Mapping[str, object]) -> int:
        """Call the function with the places and options in `words`; returns its exit code.

        Args:
            given: flags and ``--name VALUE`` by name.

        Raises:
            RecipeError: too few or too many places, or an option that there is not.
        """
        module, _, function = self.target.partition(":")
        called: Callable[..., int] = getattr(import_module(module), function)
        given = {key.replace("-", "_"): value for key, value in given.items()}
        if self.open_words:
            return called(list(words), **given)
        settings = [word for word in words if _is_setting(word)]
        places = [word for word in words if not _is_setting(word)]
        if len(places) != len(self.places):
            wanted = " and ".join(self.places) or "no words"
            got = ", ".join(map(repr, places)) if places else "none"
            raise RecipeError(f"{name} needs {wanted}, got {got}: for example {self.example}")
        values = {key: one.default for key, one in self.options.items()}
        for word in settings:
            key, _, text = word.partition("=")
            if key not in self.options:
                raise RecipeError(f"{name} has no option {key!r}{self._nearest(key)}")
            values[key] = self.options[key].read(key, text)
        return called(*places, **{key.replace(".", "_"): value for key, value in values.items()}, **given)

    def _nearest(self, key: str) -> str:
        if not self.options:
            return ": it takes none"
        near = get_close_matches(key, self.options, n=1)
        return f": did you mean {near[0]!r}?" if near else f": it has {', '.join(self.options)}"


@dataclass(frozen=True)
class Group:
    """A verb with actions of its own."""

    summary: str
    actions: Mapping[str, Action]


def _is_setting(word: str) -> bool:
    """``key=value``; a path may hold "=" behind a slash."""
    return "=" in word and "/" not in word.partition("=")[0]


ADDRESS = Valued("A", "the head's Jobs API, http://HEAD:8265; default: RAY_API_SERVER_ADDRESS, or this machine")
