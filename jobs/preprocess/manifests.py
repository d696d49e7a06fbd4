"""Which manifest of a folder of shards a recipe means: several recipes may share the shards and differ in filters."""

import json
from typing import Any

from data_pipeline import storage
from data_pipeline.dataset.layout import kept_manifest_url, kept_manifests
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.errors import RecipeError
from data_pipeline.transform.planning import portable_config
from jobs.recipe.schema import Recipe, with_absolute_paths

__all__ = ["manifest_of"]


def manifest_of(recipe: Recipe, place: str) -> str:
    """``FOLDER/manifests/ADDRESS.json`` for the data that `recipe` means by `place`.

    A folder that is not the recipe's own means its newest manifest. In its own the manifest has to be of the recipe's
    settings, so that another recipe's data is never trained on by accident; pinned, it stays while others are made.

    Raises:
        MissingInput: the folder has no manifest.
        RecipeError: none of its manifests, or several, are of the recipe's settings.
    """
    if place.endswith(".json"):
        return place
    newest = Manifest.read(place)
    config = with_absolute_paths(recipe.preprocess, "data_root", "output", "tokenizer")
    if storage.absolute(place) != config.output or not config.sources:
        return _url(place, newest)
    wanted = json.loads(json.dumps(portable_config(config)))
    if newest.config == wanted:
        return _url(place, newest)
    found = [one for one in _all(place) if one.config == wanted]
    if len(found) == 1:
        return _url(place, found[0])
    key, there, here = _first_difference(newest.config, wanted)
    raise RecipeError(
        f"{place} holds data of other settings (preprocess.{key} was {there!r}, now {here!r}): run "
        f"`basereward preprocess` with this recipe first, or name one of the manifests in "
        f"{storage.join(place, 'manifests')}"
    )


def _url(folder: str, manifest: Manifest) -> str:
    return kept_manifest_url(folder, manifest.address)


def _all(folder: str) -> list[Manifest]:
    return [Manifest.read(url) for url in kept_manifests(folder)]


def _first_difference(there: Any, here: Any, key: str = "") -> tuple[str, Any, Any]:
    """(dotted key, value there, value here) of the first place where two JSON values differ."""
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() | here.keys()):
            if there.get(name) != here.get(name):
                return _first_difference(there.get(name), here.get(name), f"{key}.{name}".strip("."))
    if isinstance(there, list) and isinstance(here, list) and len(there) == len(here):
        for place, (one, other) in enumerate(zip(there, here, strict=True)):
            if one != other:
                return _first_difference(one, other, f"{key}.{place}")
    return key, there, here
