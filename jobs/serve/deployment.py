"""A served model as a Ray Serve application: a replica loads the model, and answers HTTP itself.

    build(arguments) -> Application     what `basereward serve` runs, and what a Serve config file names

The arguments are plain values, so that they stand in a file; the token is not among them. Whoever builds reads it from
the environment, and its hash alone goes to the replicas.
"""

import asyncio
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from ray import serve

from data_pipeline.errors import RecipeError
from jobs.serve.app import create_app
from jobs.serve.guard import token_hash
from jobs.serve.metrics import ServeMetrics
from jobs.serve.models import address_now, find_model, load_model, may_move
from jobs.serve.watching import AliasWatch
from rm_core.serving.config import ServeConfig
from rm_core.serving.service import RewardService

__all__ = ["build", "token_sha256"]

_LEAST_TOKEN = 16
_MORE_REQUESTS = 64
"""Beyond `max_waiting`, for looks at /health and for answers that say that it is full."""


@serve.ingress()
class _RewardServer:
    """One replica."""

    async def __init__(  # type: ignore[misc]  # Ray Serve awaits it
        self, arguments: Mapping[str, Any], token_sha256: str | None
    ) -> None:
        config = ServeConfig.of_values(arguments["serve"])
        if not torch.cuda.is_available():
            torch.set_num_threads(max(1, int(config.cpus)))
        metrics = ServeMetrics(arguments["application"])
        self._metrics, self._token_sha256, self._config = metrics, token_sha256, config
        uri = arguments["tracking_uri"]
        find = partial(find_model, arguments["model"], uri, arguments["reading"])
        load = partial(load_model, config=config)
        loaded = await asyncio.to_thread(lambda: load(find()))
        self._service = RewardService(loaded, config, metrics.batch, metrics.wrote)
        self._watch: AliasWatch | None = None
        if config.watch_s and may_move(arguments["model"]):
            self._watch = AliasWatch(
                self._service, arguments["model"], address=partial(address_now, arguments["model"], uri), find=find,
                load=load, every_s=config.watch_s,
            )  # fmt: skip
            self._watching = asyncio.create_task(self._watch.run())

    def __serve_build_asgi_app__(self) -> Any:
        """The app, for Ray Serve."""
        return create_app(
            self._service,
            self._config,
            token_sha256=self._token_sha256,
            status=dict if self._watch is None else self._watch.status,
            observe=self._metrics.request,
        )

    async def check_health(self) -> None:
        """Raises where nothing answers any more: Ray Serve starts another replica then."""
        if not self._service.is_alive:
            raise RuntimeError("the thread that scores has ended")


def token_sha256(config: ServeConfig) -> str | None:
    """The hash of the token in this process's environment; None where no token is wanted.

    Raises:
        RecipeError: there is none, or it is too short to be one.
    """
    if config.token_variable is None:
        if config.host not in ("127.0.0.1", "localhost", "::1"):
            raise RecipeError(
                f"serve.token_variable=null with serve.host={config.host}: whoever reaches that address could ask; "
                "leave token_variable out, or listen on 127.0.0.1"
            )
        return None
    token = os.environ.get(config.token_variable, "").strip()
    if len(token) < _LEAST_TOKEN:
        found = "is not set" if not token else f"has {len(token)} characters"
        raise RecipeError(
            f"{config.token_variable} {found}: requests have to bring a token of {_LEAST_TOKEN} or more; "
            f"export {config.token_variable}=$(openssl rand -hex 32)"
        )
    return token_hash(token)


def build(arguments: Mapping[str, Any]) -> serve.Application:
    """The application of one model.

    Args:
        arguments: ``application``, its name; ``model``; ``tracking_uri``; ``reading``, how a model reads that does not
            say so; ``serve``, the values of a `ServeConfig`.

    Raises:
        RecipeError: there is no token.
    """
    config = ServeConfig.of_values(arguments["serve"])
    most = config.max_replicas or config.replicas
    scaling: dict[str, Any] = {"num_replicas": config.replicas}
    if most > config.replicas:
        scaling = {
            "autoscaling_config": {
                "min_replicas": config.replicas,
                "max_replicas": most,
                "target_ongoing_requests": config.target_requests,
            }
        }
    deployment: Any = serve.deployment(
        name="RewardServer",
        ray_actor_options={"num_cpus": config.cpus, "num_gpus": config.gpus or 0},
        max_ongoing_requests=config.max_waiting + _MORE_REQUESTS,
        graceful_shutdown_timeout_s=config.drain_s,
        health_check_period_s=5.0,
        **scaling,
    )(_RewardServer)
    application: serve.Application = deployment.bind(dict(arguments), token_sha256(config))
    return application
