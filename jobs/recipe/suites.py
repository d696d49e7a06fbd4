"""Published benchmarks by name: where the section `evaluate` says they are."""

from collections.abc import Sequence

from data_pipeline import storage
from data_pipeline.errors import RecipeError
from jobs.recipe.schema import EvaluateConfig
from rm_core.evaluation.suites.files import SuiteData, open_suite
from rm_core.evaluation.suites.registry import SUITES

__all__ = ["open_named"]


def open_named(config: EvaluateConfig, names: Sequence[str], key: str) -> list[SuiteData]:
    """The suites called `names`, each once, read and counted.

    Args:
        key: the recipe's key that has the names.

    Raises:
        RecipeError: it is not said where a suite is, or a name is no suite's.
        UserError: a suite is not there, or not as published.
    """
    unknown = [name for name in names if name not in SUITES]
    if unknown:
        raise RecipeError(f"{key} has {unknown[0]!r}, which is no suite: there are {', '.join(SUITES)}")
    return [
        open_suite(SUITES[name], _folder(config, name, key), _absolute(config.suite_media.get(name)))
        for name in dict.fromkeys(names)
    ]


def _folder(config: EvaluateConfig, name: str, key: str) -> str:
    if name in config.suite_folders:
        return storage.absolute(config.suite_folders[name])
    if config.suite_root is None:
        raise RecipeError(
            f"{key} has {name}, and nothing says where it is: set evaluate.suite_root to the folder that has "
            f"a folder {name}, or evaluate.suite_folders.{name} to the suite's own"
        )
    return storage.join(storage.absolute(config.suite_root), name)


def _absolute(place: str | None) -> str | None:
    return None if place is None else storage.absolute(place)
