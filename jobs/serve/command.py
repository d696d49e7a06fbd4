"""`basereward serve RECIPE_OR_MODEL`: start, say where, answer until Ctrl-C, end.

Everything is checked here before anything starts: the token, the port, every model and its files. On a cluster that
runs already (`--address`) only what was started here is ended.
"""

import logging
import os
import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray import serve
from ray.serve.exceptions import RayServeException

from data_pipeline.errors import RecipeError, RunError
from jobs.recipe.addresses import SQLITE
from jobs.recipe.schema import Recipe
from jobs.registry.registry import is_address
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import say
from jobs.runtime.termination import uninterrupted
from jobs.serve.applications import (
    MAIN,
    applications,
    checked,
    http_options,
    models_of,
    reading_of_recipe,
    route_of,
)
from jobs.serve.deployment import build, token_sha256
from jobs.serve.models import find_model
from jobs.tracking.address import absolute_uri
from rm_core.serving.config import ServeConfig

__all__ = ["run", "running"]

_LOOK_S = 1.0


def run(recipe: Recipe) -> None:
    """Serve `recipe.serve` until Ctrl-C.

    Raises:
        UserError: there is no token, the port is taken, or a model can't be found.
        RunError: a model could not be started on the cluster.
    """
    with running(recipe) as addresses, suppress(KeyboardInterrupt):
        for name, address in addresses.items():
            say(f"{address}/score answers for {recipe.serve.model if name == MAIN else recipe.serve.models[name]}")
        if metrics := _metrics_address():
            say(f"Prometheus reads {metrics}")
        say(f"The page of all routes: {addresses[MAIN]}/docs. Ctrl-C ends it, after requests under way.")
        while True:
            time.sleep(_LOOK_S)
            _check_running(addresses)


@contextmanager
def running(recipe: Recipe) -> Iterator[dict[str, str]]:
    """In the block, all models of `recipe.serve` answer; yields the name of each application -> its address."""
    config = checked(recipe.serve)
    token_sha256(config)
    if recipe.cluster.address is None:
        _check_port(config)
    uri = _store(recipe) if any(map(is_address, models_of(config))) else None
    reading = reading_of_recipe(recipe)
    for model in dict.fromkeys(models_of(config)):
        find_model(model, uri, reading)
    with open_cluster(recipe.cluster) as cluster:
        apps = applications(config, tracking_uri=uri, reading=reading, gpus=1.0 if cluster.on_gpus else 0.0)
        try:
            yield _started(apps, config)
        finally:
            with uninterrupted():
                _stop([one["application"] for one in apps])


def _started(apps: Sequence[Mapping[str, Any]], config: ServeConfig) -> dict[str, str]:
    """Start all applications side by side; the name of each -> where it answers.

    Raises:
        RunError: one did not come up.
    """
    for one in apps:
        say(f"starting {one['model']}")
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    targets = [
        serve.RunTarget(build(one), name=one["application"], route_prefix=route_of(one["application"])) for one in apps
    ]
    try:
        serve.start(proxy_location="EveryNode", http_options=http_options(config), logging_config=_QUIET)
        serve.run_many(targets)
    except (RuntimeError, RayServeException) as error:
        raise RunError(f"no model is served: {_reason([one['application'] for one in apps], error)}") from error
    host = "127.0.0.1" if config.host in ("0.0.0.0", "::") else config.host  # noqa: S104  # what is asked from here
    url = f"http://{host}:{config.port}"
    return {one["application"]: url + route_of(one["application"]).rstrip("/") for one in apps}


_QUIET = {"log_level": "WARNING", "enable_access_log": False}


def _reason(names: Collection[str], error: Exception) -> str:
    """What Serve says of applications that have failed, in one line; else the error."""
    said: list[str] = []
    for name, status in serve.status().applications.items():
        if name in names and status.status == "DEPLOY_FAILED":
            said += [*(one.message for one in status.deployments.values()), status.message]
    text = next((one for one in said if one), str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _check_running(names: Collection[str]) -> None:
    """Raises RunError where an application has come to its end: its replicas can't be started again."""
    for name, status in serve.status().applications.items():
        if name in names and status.status == "DEPLOY_FAILED":
            raise RunError(f"{name} answers no more: {_reason([name], RuntimeError(status.message))}")


def _stop(names: Sequence[str]) -> None:
    """End the applications, once what is under way is answered."""
    if not ray.is_initialized():
        return
    say("ending: requests under way are answered first")
    for name in names:
        with suppress(RayServeException):  # it has not been started
            serve.delete(name)


def _store(recipe: Recipe) -> str:
    """The address of the MLflow store.

    Raises:
        RecipeError: it is a file that is not there, and so has no models.
    """
    uri = recipe.tracking.uri
    if uri.startswith(SQLITE) and not os.path.isfile(uri.removeprefix(SQLITE)):
        raise RecipeError(
            f"tracking.uri={uri} is not there: say which MLflow store has the models, tracking.uri=sqlite:///PATH or "
            "http(s)://HOST:PORT, or set MLFLOW_TRACKING_URI"
        )
    return absolute_uri(uri)


def _check_port(config: ServeConfig) -> None:
    """Raises RecipeError where the port is taken: Ray Serve would say so a minute later."""
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listening.bind((config.host, config.port))
        except OSError as error:
            raise RecipeError(
                f"serve.host={config.host} serve.port={config.port}: {error.strerror}; give another port, serve.port="
                f"{config.port + 1}"
            ) from error


def _metrics_address() -> str | None:
    """Where this node's metrics are, of Ray's and of the models."""
    nodes = [node for node in ray.nodes() if node["Alive"] and node["MetricsExportPort"]]
    return f"http://{nodes[0]['NodeManagerAddress']}:{nodes[0]['MetricsExportPort']}/metrics" if nodes else None
