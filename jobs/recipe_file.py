"""A recipe file and `key=value` overrides -> a checked `Recipe`.

    defaults (the dataclasses) <- recipe file <- key=value overrides -> interpolations -> Recipe

Every mistake in a recipe is a `RecipeError` or `MissingInput` of one line: the value, its key, the cure.
"""

import difflib
from collections.abc import Sequence
from importlib.resources import files
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

from data_pipeline.config import SourceConfig
from data_pipeline.errors import MissingInput, RecipeError
from jobs.config import SECTIONS, Recipe

__all__ = ["load_recipe", "packaged_recipes", "required"]


def packaged_recipes() -> list[str]:
    """Names of the recipes that come with the package, sorted."""
    return sorted(
        entry.name.removesuffix(".yaml") for entry in _recipe_folder().iterdir() if entry.name.endswith(".yaml")
    )


def load_recipe(name_or_path: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, merge, check and resolve a recipe.

    Args:
        name_or_path: a packaged name such as ``demo``, or a path that ends in ``.yaml`` or ``.yml``.
        overrides: ``key=value`` with dotted keys, for example ``train.zero.stage=3``; lists by index:
            ``preprocess.sources.0.limit=100``. The value is YAML.

    Raises:
        MissingInput: no such recipe.
        RecipeError: anything wrong inside it, in one line.
    """
    source, text = _read(name_or_path)
    settings = _parse(source, text)
    settings.setdefault("name", Path(name_or_path).stem)
    config = _merge_file(source, settings)
    for override in overrides:
        _apply(config, override)
    try:
        recipe = OmegaConf.to_object(config)
    except OmegaConfBaseException as error:
        raise RecipeError(f"{source}: {_one_line(error)}") from error
    assert isinstance(recipe, Recipe)
    return recipe


def required(value: str | None, key: str, example: str) -> str:
    """`value` of the key that a verb can't do without.

    Raises:
        RecipeError: it is unset.
    """
    if value is None:
        raise RecipeError(f"{key} is not set: add {key}={example} to the command")
    return value


def _recipe_folder() -> Any:
    return files("jobs").joinpath("recipes")


def _read(name_or_path: str) -> tuple[str, str]:
    """(what to call it in messages, its text)."""
    looks_like_path = name_or_path.endswith((".yaml", ".yml")) or "/" in name_or_path
    if not looks_like_path and name_or_path in packaged_recipes():
        return f"recipe {name_or_path}", (_recipe_folder() / f"{name_or_path}.yaml").read_text(encoding="utf-8")
    path = Path(name_or_path)
    if not looks_like_path:
        names = packaged_recipes()
        near = difflib.get_close_matches(name_or_path, names, n=1, cutoff=0.5)
        hint = (
            f"did you mean {near[0]!r}?"
            if near
            else f"there are {', '.join(names)}; an own one is a path ending in .yaml"
        )
        raise MissingInput(f"no recipe is called {name_or_path!r}: {hint}")
    if not path.is_file():
        raise MissingInput(f"no recipe file at {name_or_path!r}: check the path, which starts from {Path.cwd()}")
    try:
        return f"recipe {name_or_path}", path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError(f"recipe {name_or_path}: not UTF-8 text ({error.reason} at byte {error.start})") from error


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


def _merge_file(source: str, settings: dict[str, Any]) -> DictConfig:
    _check_sources(source, settings)
    for section, value in settings.items():
        if section in SECTIONS and not isinstance(value, dict):
            raise RecipeError(f"{source}: {section} is {value!r}, but has to be a section of `key: value` lines")
    try:
        merged = OmegaConf.merge(OmegaConf.structured(Recipe), settings)
    except (OmegaConfBaseException, TypeError) as error:
        raise RecipeError(f"{source}: {_one_line(error)}") from error
    assert isinstance(merged, DictConfig)
    return merged


def _check_sources(source: str, settings: dict[str, Any]) -> None:
    """Check the items of `preprocess.sources` one by one: OmegaConf leaves the list out of a message's key."""
    preprocess = settings.get("preprocess")
    items = preprocess.get("sources", []) if isinstance(preprocess, dict) else []
    if not isinstance(items, list):
        raise RecipeError(
            f"{source}: preprocess.sources is {items!r}, but has to be a list (lines that begin with `- name:`)"
        )
    for index, item in enumerate(items):
        key = f"preprocess.sources[{index}]"
        if not isinstance(item, dict):
            raise RecipeError(f"{source}: {key} is {item!r}, but has to hold `name:` and `path:`")
        try:
            OmegaConf.merge(OmegaConf.structured(SourceConfig), item)
        except OmegaConfBaseException as error:
            raise RecipeError(f"{source}: {_one_line(error, prefix=key + '.')}") from error


def _apply(config: DictConfig, override: str) -> None:
    """Write one `key=value` into `config`."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise RecipeError(f"override {override!r} is not key=value, for example train.max_steps=100")
    try:
        value = OmegaConf.to_container(OmegaConf.from_dotlist([f"value={text}"]), resolve=False)
        assert isinstance(value, dict)
        OmegaConf.update(config, key, value["value"])
    except yaml.YAMLError as error:
        raise RecipeError(f"override {override!r}: the value is not valid YAML; put it in quotes") from error
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
