"""What is served, as plain values: the arguments of each application, where it answers, and Ray Serve's config file."""

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from data_pipeline.encoding.reading import Reading
from data_pipeline.errors import RecipeError
from data_pipeline.storage import absolute, is_local
from jobs.recipe.schema import Recipe
from jobs.registry.registry import is_address
from rm_core.generation.config import check_critiques_config, check_verdicts_config
from rm_core.serving.config import ServeConfig

__all__ = [
    "MAIN", "applications", "checked", "config_file", "http_options", "models_of", "reading_of_recipe", "route_of",
]  # fmt: skip

MAIN = "rewards"
"""The application of `serve.model`."""
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def applications(
    config: ServeConfig, *, tracking_uri: str | None, reading: Mapping[str, Any], gpus: float
) -> list[dict[str, Any]]:
    """The arguments of `build` of every served model; that of `config.model` is the first.

    Args:
        gpus: of a replica, where `config` leaves it open.
    """
    plain = asdict(config) | {"gpus": gpus if config.gpus is None else config.gpus, "models": {}}
    named = {MAIN: config.model} | config.models
    return [
        {"application": name, "model": model, "tracking_uri": tracking_uri, "reading": reading, "serve": plain}
        for name, model in named.items()
    ]


def route_of(application: str) -> str:
    """Where an application answers."""
    return "/" if application == MAIN else f"/models/{application}"


def checked(config: ServeConfig) -> ServeConfig:
    """The config with the paths of folders made absolute, for processes that run in other folders.

    Raises:
        RecipeError: a name of `models` can't stand in an address, or `critiques` or `verdicts` can't be meant.
    """
    check_critiques_config(config.critiques, "serve.critiques")
    check_verdicts_config(config.verdicts, "serve.verdicts", judges=True, reasons=True)  # each model reads its own part
    for name in config.models:
        if name == MAIN or not _NAME.fullmatch(name):
            raise RecipeError(f"serve.models: {name!r} is no name: letters, digits, -, _ and ., and not {MAIN!r}")
    models = {name: _place(model) for name, model in config.models.items()}
    return replace(config, model=_place(config.model), models=models)


def models_of(config: ServeConfig) -> list[str]:
    """All that is served."""
    return [config.model, *config.models.values()]


def reading_of_recipe(recipe: Recipe) -> dict[str, Any]:
    """How the recipe reads records, for folders that do not say it; the tokenizer is the folder's own."""
    return asdict(Reading.of_config(recipe.preprocess, ""))


def config_file(recipe: Recipe, gpus: float) -> dict[str, Any]:
    """Ray Serve's config file of what `recipe.serve` names, for a cluster that deploys such files.

    Args:
        gpus: of a replica, where the recipe leaves it open.

    Raises:
        RecipeError: a model, or the store of its address, is where only this machine finds it; or no request would
            need a token.
    """
    config = replace(checked(recipe.serve), host="0.0.0.0")  # noqa: S104  # of a pod
    if config.token_variable is None:
        raise RecipeError("serve.token_variable=null: on a cluster requests need a token; leave it out")
    for model in models_of(config):
        if not is_address(model) and is_local(model):
            raise RecipeError(f"serve.model={model}: a pod does not have that folder; give s3://, hf:// or models:/")
    addressed = any(map(is_address, models_of(config)))
    if addressed and not recipe.tracking.uri.startswith("http"):
        raise RecipeError(
            f"tracking.uri={recipe.tracking.uri}: a pod does not reach that store; give http(s)://HOST of a server"
        )
    uri = recipe.tracking.uri if addressed else None
    apps = applications(config, tracking_uri=uri, reading=reading_of_recipe(recipe), gpus=gpus)
    return {
        "proxy_location": "EveryNode",
        "http_options": http_options(config),
        "applications": [
            {
                "name": one["application"],
                "route_prefix": route_of(one["application"]),
                "import_path": "jobs.serve.deployment:build",
                "args": one,
            }
            for one in apps
        ],
    }


def http_options(config: ServeConfig) -> dict[str, Any]:
    """Of Ray Serve's proxies. Their limit of time is behind the app's own ones, which say more."""
    return {
        "host": config.host,
        "port": config.port,
        "request_timeout_s": config.body_timeout_s + config.request_timeout_s + 10.0,
    }


def _place(model: str) -> str:
    return model if is_address(model) else absolute(model)
