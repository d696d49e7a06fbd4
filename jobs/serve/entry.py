"""`basereward serve`, where what it needs beside the rest is installed: the extra ``serve``."""

from importlib.util import find_spec

from data_pipeline.errors import MissingInput
from jobs.recipe.schema import Recipe

__all__ = ["run"]

_NEEDED = ("fastapi", "starlette", "uvicorn")
"""Of the extra, what Ray Serve and the app import."""


def run(recipe: Recipe) -> None:
    """As `jobs.serve.command.run`.

    Raises:
        MissingInput: the extra is not installed.
    """
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        raise MissingInput(f"basereward serve needs {', '.join(missing)}: pip install 'basereward[serve]'")
    from jobs.serve.command import run as serve_recipe

    serve_recipe(recipe)
