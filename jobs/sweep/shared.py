"""Where the trials of a sweep read and write, and the work that several of them share: done once, before they start.

    base recipe + overrides of a trial -> its recipe, with folders of its own below the sweep's
    random backbones    the recipe's own `init_model.output`, or models/HASH for other `init_model` settings
    prepared data       the recipe's own `preprocess.output`, or data/HASH for other `preprocess` settings

A folder of another place, such as that of a published backbone, is left as it is.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data_pipeline.dataset.manifest import Manifest
from data_pipeline.encoding.reading import Reading, check_same_reading
from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute, exists, join
from jobs import init_model
from jobs.preprocess import preprocess
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.schema import Recipe
from jobs.recipe.sweep_config import SweepConfig
from jobs.sweep.folder import SweepFolder
from jobs.sweep.trials import TrialSpec
from rm_core.model_folder.folder import is_complete
from rm_core.planner.config import check_plan_config
from rm_core.train_config.check import check_train_config

__all__ = ["TrialRecipes", "Variants", "check_suites_reading", "make_shared"]

Variants = Callable[[Mapping[str, Any]], Recipe]
"""``{config key: value}`` -> the recipe with these settings."""

_TOKENIZER_KEYS = ("tokenizer", "vocab_size", "max_training_records")


@dataclass(frozen=True, kw_only=True)
class TrialRecipes:
    """How a sweep makes the recipes of its trials."""

    base: Recipe
    variants: Variants
    folder: SweepFolder

    def recipe_of(self, spec: TrialSpec) -> Recipe:
        """The recipe of a trial.

        Raises:
            RecipeError: it names no config key, or a value cannot be; says which trial's.
        """
        settings = spec.settings
        try:
            folders = self._folders(self.variants(settings), spec)
            recipe = self.variants({**folders, **settings})
            check_train_config(recipe.train)
            check_plan_config(recipe.plan)
        except RecipeError as error:
            raise RecipeError(f"trial {spec.name!r}: {error}") from error
        recipe.sweep = SweepConfig()
        return recipe

    def _folders(self, recipe: Recipe, spec: TrialSpec) -> dict[str, Any]:
        """Folders that are the trial's own, or shared with trials of the same settings."""
        folders: dict[str, Any] = {
            "train.output": self.folder.of_trial(spec.id, "train"),
            "evaluate.output": self.folder.of_trial(spec.id, "evaluate"),
        }
        model = _settings(recipe.init_model, without=("output",))
        if model != _settings(self.base.init_model, without=("output",)):
            folders["init_model.output"] = join(self.folder.url, "models", _hash(model))
        data = _data_settings(recipe)
        if data != _data_settings(self.base):
            folders["preprocess.output"] = join(self.folder.url, "data", _hash(data))
        return folders


def make_shared(trial_recipes: TrialRecipes, recipes: Sequence[Recipe]) -> None:
    """Write the backbones and prepare the data that `recipes` read; what is there already is left as it is.

    Raises:
        RecipeError: a recipe would read benchmarks otherwise than its model will have learnt to read.
        UserError, RunError: as of `basereward init-model` and `basereward preprocess`.
    """
    own = _first_of(recipes, lambda one: one.preprocess.output)
    read = {folder for recipe in recipes for folder in (recipe.train.data, recipe.evaluate.data)}
    users = list(recipes)
    if (
        trial_recipes.base.preprocess.output in read - own.keys()
    ):  # trials of other data are evaluated on the recipe's own
        own[trial_recipes.base.preprocess.output] = trial_recipes.base
        users.append(trial_recipes.base)
    for output, recipe in _first_of(users, lambda one: one.init_model.output).items():
        if output in (recipe.train.model, recipe.preprocess.tokenizer) and not _is_published(output):
            _make_model(trial_recipes, recipe)
    for output, recipe in own.items():
        if output in read and recipe.preprocess.sources:
            preprocess.run(recipe)
    for recipe in recipes:
        check_suites_reading(recipe)


def check_suites_reading(recipe: Recipe) -> None:
    """Refuse, before a trial trains, what its evaluation on suites would refuse after it.

    Raises:
        RecipeError: the recipe reads records otherwise than the prepared data that the trial trains on.
    """
    if not recipe.evaluate.suites:
        return
    data = absolute(recipe.train.data)
    reading = Manifest.read(manifest_of(recipe, data)).reading
    check_same_reading(
        reading.all(),
        Reading.of_config(recipe.preprocess, reading.tokenizer).all(),
        names=(f"the data in {data!r}", f"recipe {recipe.name!r}, which says how evaluate.suites are read,"),
        cure="set {settings} in the recipe or the command",
    )


def _make_model(trial_recipes: TrialRecipes, recipe: Recipe) -> None:
    """A trained tokenizer is of the base recipe's texts, whatever data a trial trains on."""
    settings = asdict(recipe.init_model)
    init_model.run(trial_recipes.variants({f"init_model.{key}": value for key, value in settings.items()}))


def _is_published(folder: str) -> bool:
    """Whether a backbone that `basereward init-model` has not written lies there."""
    return exists(join(folder, "config.json")) and not is_complete(folder)


def _first_of(recipes: Sequence[Recipe], folder_of: Callable[[Recipe], str]) -> dict[str, Recipe]:
    first: dict[str, Recipe] = {}
    for recipe in recipes:
        first.setdefault(folder_of(recipe), recipe)
    return first


def _data_settings(recipe: Recipe) -> dict[str, Any]:
    """What decides the prepared data: sizes of a backbone may share a tokenizer, and with it the data."""
    settings = _settings(recipe.preprocess, without=("output", "workers", "unit_retries"))
    if recipe.preprocess.tokenizer == recipe.init_model.output:
        settings["tokenizer"] = {key: getattr(recipe.init_model, key) for key in _TOKENIZER_KEYS}
    return settings


def _settings(section: Any, without: Sequence[str]) -> dict[str, Any]:
    return {key: value for key, value in asdict(section).items() if key not in without}


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:12]
