"""Commands that write hold a lease on where they write: the second of two at once is refused, and told who is there."""

from collections.abc import Callable
from functools import wraps
from operator import attrgetter
from typing import Concatenate, ParamSpec, TypeVar

from data_pipeline.storage import absolute, held
from jobs.recipe.schema import Recipe

__all__ = ["writes"]

P = ParamSpec("P")
R = TypeVar("R")
Run = Callable[Concatenate[Recipe, P], R]


def writes(key: str, *, file: bool = False) -> Callable[[Run[P, R]], Run[P, R]]:
    """Run a command on a recipe while it holds what the recipe's `key` names.

    Args:
        key: dotted, such as ``train.output``.
        file: it names a file.
    """

    def holding(run: Run[P, R]) -> Run[P, R]:
        @wraps(run)
        def run_alone(recipe: Recipe, /, *args: P.args, **kwargs: P.kwargs) -> R:
            command = run.__module__.rpartition(".")[2].replace("_", "-")
            with held(absolute(attrgetter(key)(recipe)), command, file=file):
                return run(recipe, *args, **kwargs)

        return run_alone

    return holding
