"""A command that is given a model in the place of a recipe: the settings that it has then."""

import os

from jobs.recipe.load import SUFFIXES, packaged_recipes

__all__ = ["is_recipe", "settings_of_model"]


def is_recipe(name: str) -> bool:
    """Whether it is the name of a packaged recipe, or the path of a recipe's file."""
    return name in packaged_recipes() or name.endswith(SUFFIXES)


def settings_of_model(model: str, key: str) -> list[str]:
    """Overrides of the defaults: the model under its key, and the MLflow store that this process is set to, if any."""
    uri = os.environ.get("MLFLOW_TRACKING_URI")
    return [*([f"tracking.uri={uri}"] if uri else []), f"{key}={model}"]
