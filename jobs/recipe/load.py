"""A recipe file and `key=value` overrides -> a checked `Recipe`.

    defaults (the dataclasses) <- bases <- recipe file <- key=value overrides -> interpolations -> Recipe

A file that says ``base: demo`` or ``base: ../other.yaml`` begins with all that the other recipe says, except its name.
Sections are merged key by key; a list, such as `preprocess.sources`, is replaced as a whole.

Every mistake in a recipe is a `RecipeError` or `MissingInput` of one line: the value, its key, the cure.
"""

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from data_pipeline.bounds import check_bounds
from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecipeError
from jobs.recipe.addresses import check_no_secrets, check_places
from jobs.recipe.schema import SECTIONS, Recipe
from rm_core.ensembles.config import MemberConfig

__all__ = ["SUFFIXES", "load_recipe", "packaged_recipes", "required", "split_arguments"]

UNNAMED = "unnamed"
"""The name of a recipe that is no file."""
SUFFIXES = (".yaml", ".yml")
_KEY = re.compile(r"\$\{[^${}:]*\}")
"""The value of another key, by OmegaConf: ``${run_dir}``."""


def packaged_recipes() -> list[str]:
    """Names of the recipes that come with the package, sorted; one of a subfolder is called ``paper/mixture``."""
    return sorted(_names(_recipe_folder()))


def load_recipe(
    name_or_path: str | None, overrides: Sequence[str] = (), settings: Mapping[str, Any] | None = None
) -> Recipe:
    """Read, merge, check and resolve a recipe.

    Args:
        name_or_path: a packaged name such as ``demo`` or ``paper/mixture``, or a path that ends in ``.yaml`` or
            ``.yml``; None: defaults alone, under the name `UNNAMED`.
        overrides: ``key=value`` with dotted keys, for example ``train.zero.stage=3``; lists by index:
            ``preprocess.sources.0.limit=100``. The value is YAML.
        settings: dotted key -> value, written over all of these; what other keys take from them follows.

    Raises:
        MissingInput: no such recipe, or no such base.
        RecipeError: anything wrong inside it, in one line.
    """
    source, written = "the command line", {"name": UNNAMED}
    if name_or_path is not None:
        file = _find(name_or_path)
        source = file.title
        written = {"name": file.name} | _with_bases(file)
    config = _merged(source, written, Recipe)
    for override in overrides:
        _apply(config, override)
    for key, value in (settings or {}).items():
        _set(config, key, value, f"{key}: {value}")
    _check_calls_nothing(OmegaConf.to_container(config, resolve=False), source)
    try:
        recipe = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise RecipeError(f"{source}: {_one_line(error)}") from error
    assert isinstance(recipe, Recipe)
    check_bounds(recipe)
    check_no_secrets(recipe, source)
    check_places(recipe, source)
    return recipe


def _check_calls_nothing(value: object, source: str, key: str = "") -> None:
    """A recipe may come from somebody else: it takes values from its own keys only, such as ``${data_root}``.

    OmegaConf's functions would read variables of whoever runs it (``${oc.env:AWS_SECRET_ACCESS_KEY}``), which would
    then stand in addresses and logs.

    Raises:
        RecipeError: a value holds ``${NAME:...}``.
    """
    if isinstance(value, Mapping):
        for name, inner in value.items():
            _check_calls_nothing(inner, source, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            _check_calls_nothing(inner, source, f"{key}.{index}")
    elif isinstance(value, str) and _calls(value):
        raise RecipeError(
            f"{source}: {key}={value!r} calls a function: a recipe takes values from its own keys only, such as "
            "${data_root}; write the value, or give it as key=value"
        )


def _calls(text: str) -> bool:
    """Whether anything but keys is left in ``${...}``, also behind a key inside it: ``${${name}:HOME}``."""
    while (plain := _KEY.sub("", text)) != text:
        text = plain
    return "${" in text


def split_arguments(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """What stands behind a command: the recipe, or None where none is named, and the overrides.

    >>> split_arguments(["demo", "train.seed=5"]), split_arguments(["train.seed=5"])
    (('demo', ['train.seed=5']), (None, ['train.seed=5']))
    """
    if arguments and "=" not in arguments[0]:
        return arguments[0], list(arguments[1:])
    return None, list(arguments)


def required(value: str | None, key: str, example: str) -> str:
    """`value` of the key that a command can't do without.

    Raises:
        RecipeError: it is unset.
    """
    if value is None:
        raise RecipeError(f"{key} is not set: add {key}={example} to the command")
    return value


@dataclass(frozen=True)
class _RecipeFile:
    """A recipe that is there.

    Attributes:
        name: what a run is called where the file does not say.
        file: its text.
        title: what messages call it.
    """

    name: str
    file: Traversable
    title: str

    @property
    def identity(self) -> str:
        """The same for two ways to one file."""
        return str(self.file.resolve() if isinstance(self.file, Path) else self.file)

    def read(self) -> str:
        try:
            return self.file.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(f"{self.title}: not UTF-8 text ({error.reason} at byte {error.start})") from error


def _recipe_folder() -> Traversable:
    return files("jobs.recipe").joinpath("packaged")


def _names(folder: Traversable, prefix: str = "") -> Iterator[str]:
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _names(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith(".yaml"):
            yield prefix + entry.name.removesuffix(".yaml")


def _find(name_or_path: str, folder: Path | None = None) -> _RecipeFile:
    """The recipe of a packaged name, or of a path from `folder` (None: from where the command runs)."""
    names = packaged_recipes()
    if name_or_path in names:
        file = _recipe_folder().joinpath(*f"{name_or_path}.yaml".split("/"))
        return _RecipeFile(name_or_path, file, f"recipe {name_or_path}")
    path = (folder or Path()) / name_or_path
    if path.is_file() and ("/" in name_or_path or path.suffix in SUFFIXES):
        return _RecipeFile(path.stem, path, f"recipe {path}")
    if path.suffix in SUFFIXES:
        start = folder or Path.cwd()
        raise MissingInput(f"no recipe file at {name_or_path!r}: check the path, which starts from {start}")
    near = difflib.get_close_matches(name_or_path, names, n=1, cutoff=0.5)
    hint = (
        f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}; an own one is a path ending in .yaml"
    )
    raise MissingInput(f"no recipe is called {name_or_path!r}: {hint}")


def _with_bases(file: _RecipeFile) -> dict[str, Any]:
    """What the file says, over what its bases say; each file is checked by itself, so that a mistake names its file."""
    layers: list[dict[str, Any]] = []
    passed: dict[str, str] = {}
    current: _RecipeFile | None = file
    while current is not None:
        if current.identity in passed:
            circle = " -> ".join([*passed.values(), current.title])
            raise RecipeError(f"{file.title}: its bases go round in a circle: {circle}")
        passed[current.identity] = current.title
        settings = dict(_checked(current.title, current.read()))
        base = settings.pop("base", None)
        if layers:
            settings.pop("name", None)
        layers.append(settings)
        current = None if base is None else _find_base(base, current)
    merged: dict[str, Any] = {}
    for layer in reversed(layers):
        merged = _merge(merged, layer)
    return merged


@lru_cache(maxsize=64)
def _checked(source: str, text: str) -> Mapping[str, Any]:
    """The settings of a file, checked by themselves. A sweep reads one recipe for each of its trials."""
    settings = _parse(source, text)
    _check_file(source, {key: value for key, value in settings.items() if key != "base"})
    return settings


def _find_base(base: object, of: _RecipeFile) -> _RecipeFile:
    if not isinstance(base, str):
        raise RecipeError(f"{of.title}: base is {base!r}, but has to be one recipe's name or path")
    try:
        return _find(base, of.file.parent if isinstance(of.file, Path) else None)
    except MissingInput as error:
        raise MissingInput(f"{of.title}: base {base!r}: {error}") from error


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = _merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return both


def _parse(source: str, text: str) -> dict[str, Any]:
    try:
        # OmegaConf's own loader also refuses a key that is there twice, which plain YAML lets through.
        settings = OmegaConf.to_container(OmegaConf.create(text)) if text.strip() else {}
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f" at line {place.line + 1}, column {place.column + 1}" if place else ""
        raise RecipeError(f"{source}: not valid YAML{where}: {getattr(error, 'problem', None) or error}") from error
    except OmegaConfBaseException as error:
        raise RecipeError(f"{source}: {_one_line(error)}") from error
    if not isinstance(settings, dict) or list(settings.values()) == [None]:
        raise RecipeError(f"{source}: the file has to hold `key: value` lines, not {text.strip()[:40]!r}")
    return {str(key): value for key, value in settings.items()}


def _check_file(source: str, settings: dict[str, Any]) -> None:
    _check_lists(source, settings)
    for section, value in settings.items():
        if section in SECTIONS and not isinstance(value, dict):
            raise RecipeError(f"{source}: {section} is {value!r}, but has to be a section of `key: value` lines")
    _merged(source, settings, Recipe)


def _merged(source: str, settings: dict[Any, Any], kind: type, prefix: str = "") -> DictConfig:
    """`settings` over the defaults of the dataclass `kind`; `prefix` stands before the keys of messages."""
    try:
        merged = OmegaConf.merge(_defaults(kind), settings)
    except (OmegaConfBaseException, TypeError) as error:
        raise RecipeError(f"{source}: {_one_line(error, prefix)}") from error
    assert isinstance(merged, DictConfig)
    return merged


@cache
def _defaults(kind: type) -> DictConfig:
    """OmegaConf takes a tenth of a second to read `Recipe`; `OmegaConf.merge` copies it and changes nothing of it."""
    config = OmegaConf.structured(kind)
    assert isinstance(config, DictConfig)
    return config


_LISTS: tuple[tuple[str, str, type, str], ...] = (
    ("preprocess", "sources", SourceConfig, "path"),
    ("ensemble", "members", MemberConfig, "model"),
)
"""Section, key, class of an item, and what it needs beside a name."""


def _check_lists(source: str, settings: dict[str, Any]) -> None:
    """Check the items of lists one by one: OmegaConf leaves the list out of a message's key."""
    for section, name, kind, needed in _LISTS:
        value = settings.get(section)
        items = value.get(name, []) if isinstance(value, dict) else []
        _check_list(source, f"{section}.{name}", items, kind, needed)


def _check_list(source: str, name: str, items: object, kind: type, needed: str) -> None:
    if not isinstance(items, list):
        raise RecipeError(f"{source}: {name} is {items!r}, but has to be a list (lines that begin with `- name:`)")
    for index, item in enumerate(items):
        key = f"{name}[{index}]"
        if not isinstance(item, dict):
            raise RecipeError(f"{source}: {key} is {item!r}, but has to hold `name:` and `{needed}:`")
        _merged(source, item, kind, prefix=key + ".")


def _apply(config: DictConfig, override: str) -> None:
    """Write one `key=value` into `config`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {override!r} is not key=value, for example train.max_steps=100")
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
    except yaml.YAMLError as error:
        raise RecipeError(f"override {override!r}: the value is not valid YAML; put it in quotes") from error
    assert isinstance(value, dict)
    _set(config, key, value["value"], override)


def _set(config: DictConfig, key: str, value: Any, override: str) -> None:
    """Write one value into `config`; `override` is what messages call it."""
    try:
        OmegaConf.update(config, key, value)
    except (OmegaConfBaseException, TypeError, ValueError) as error:
        raise RecipeError(f"override {override!r}: {_one_line(error)}") from error


def _one_line(error: Exception, prefix: str = "") -> str:
    """OmegaConf's message without its extra lines, the full key in front, and a cure behind."""
    message = str(error).strip().splitlines()[0]
    key = f"{prefix}{getattr(error, 'full_key', None) or ''}".strip(".")
    if isinstance(error, MissingMandatoryValue):
        return f"{key} has no value: set it in the recipe, or add {key}=... to the command"
    if isinstance(error, ConfigKeyError | ConfigAttributeError):
        return f"no key {key!r}: {_nearest(error)}"
    if isinstance(error, InterpolationResolutionError):
        return f"{key}: {message}; ${{...}} names another key by its full path, such as ${{run_dir}}"
    return f"{key}: {message}" if key else message


def _nearest(error: Exception) -> str:
    known = list(getattr(getattr(error, "object_type", None), "__dataclass_fields__", {}))
    wrong = str(getattr(error, "key", ""))
    near = difflib.get_close_matches(wrong, known, n=1, cutoff=0.4)
    return f"did you mean {near[0]!r}?" if near else f"known here are {', '.join(known)}"
