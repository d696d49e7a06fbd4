"""Ids of the hub in a recipe, ``ORG/NAME`` -> folders with the commits that this run reads.

The first command of a run that reads a model by its id takes the newest commit, and writes it into
``RUN_DIR/hub_models.json``; later commands of the run read the same one. A folder here with that name comes first.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from data_pipeline.storage import exists, join, name_of, read_json, write_atomic
from jobs.recipe.schema import Recipe
from rm_core.model_folder.hub import is_cached, is_hub_id, snapshot

__all__ = ["HUB_MODELS", "with_hub_models"]

HUB_MODELS = "hub_models.json"
_KEYS: Mapping[str, str] = {
    "plan": "train",
    "train": "train",
    "evaluate": "evaluate",
    "score": "score",
    "serve": "serve",
    "import-model": "import_model",
}
"""Commands that read one model -> their section of the recipe."""
_FIELDS: Mapping[str, str] = {"import_model": "source"}
_OF_MEMBERS = ("ensemble", "promote")


def with_hub_models(command: str, recipe: Recipe, *, report: Callable[[str], None]) -> Recipe:
    """The recipe with a folder of the hub's cache in the place of each id that `command` reads; changed in place.

    A plan downloads settings and no weights, and records nothing.

    Args:
        report: is told which commit is read, and where a folder stands before a model of the hub.

    Raises:
        MissingInput, Unavailable: as `snapshot`.
    """
    plans = command == "plan"
    for key, config, field in _places(command, recipe):
        place = getattr(config, field)
        if not place or place.startswith(f"{recipe.run_dir}/") or not is_hub_id(place):
            if place and os.path.isdir(place) and place.count("/") == 1 and is_cached(place):
                report(f"{key}={place} is the folder here, not the hub's model: for that name hf://{place}@COMMIT")
            continue
        pins = join(recipe.run_dir, HUB_MODELS)
        known: dict[str, Any] = read_json(pins, dict) if exists(pins) else {}
        folder = snapshot(place, known.get(place), settings_only=plans)
        commit = name_of(folder)
        report(f"{key}={place} is the hub's model at commit {commit}")
        if place not in known and not plans:
            write_atomic(pins, (json.dumps(known | {place: commit}, indent=2, sort_keys=True) + "\n").encode())
        setattr(config, field, folder)
    return recipe


def _places(command: str, recipe: Recipe) -> Iterator[tuple[str, Any, str]]:
    """Key, config and field of every model that the command reads."""
    if command == "plan" and recipe.plan.shape is not None:
        return  # no model is read
    if command in _KEYS:
        section = _KEYS[command]
        field = _FIELDS.get(section, "model")
        yield f"{section}.{field}", getattr(recipe, section), field
    if command in _OF_MEMBERS:
        for index, member in enumerate(recipe.ensemble.members):
            yield f"ensemble.members.{index}.model", member, "model"
