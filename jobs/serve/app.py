"""The routes of one served model: an ASGI app that needs nothing but a `RewardService`.

    /score, /score/files     a Comparison, images as base64 or as files
    /get_reward              OpenRLHF's remote reward model
    /classify, /v1/score     vLLM's
    /v1/models               what the model is called
    /health, /ready          is the process well; is there a model that answers
    /docs, /openapi.json     the page of all this

Each answer that is none is ``{"error": {"type", "message"}}``: 400 no JSON, 401 token, 408 slow body, 413 large body,
422 it can't be scored, 429 full (Retry-After says when to come again), 500, 503 the server ends, 504 too late.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import HTTPBearer
from fastapi_offline import FastAPIOffline
from pydantic import Json
from starlette.exceptions import HTTPException

from data_pipeline import __version__
from data_pipeline.errors import RecordError
from jobs.serve import answers
from jobs.serve.guard import DOCS_FILES, Guard, GuardLimits
from jobs.serve.schemas import (
    ClassifyAnswer,
    ClassifyRequest,
    ErrorAnswer,
    PairAnswer,
    PairRequest,
    RewardAnswer,
    RewardRequest,
    ScoreAnswer,
    ScoreRequest,
)
from rm_core.serving.batching import Closing, Full
from rm_core.serving.config import ServeConfig
from rm_core.serving.service import NotFinite, RewardService, TooLate

__all__ = ["SeesRequest", "create_app"]

SeesRequest = Callable[[str, int, float], object]
"""Told of each request: its path, the status of its answer, and its seconds."""

_LOGGER = logging.getLogger(__name__)
_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer} for status in (400, 401, 408, 413, 422, 429, 500, 503, 504)
}
_DESCRIPTION = """Rewards of a reward model: higher is better. A prompt is computed once, however many responses it has,
and also where several requests ask about it at once; a reward does not depend on what it is computed with."""


def create_app(
    service: RewardService,
    config: ServeConfig,
    *,
    token_sha256: str | None,
    status: Callable[[], dict[str, Any]] = dict,
    observe: SeesRequest = lambda *_: None,
) -> FastAPI:
    """The app.

    Args:
        token_sha256: of the token that requests have to bring; None: none.
        status: more of what ``/ready`` says.
        observe: told of each request.
    """
    # Scripts and styles of the page come from here: a cluster may have no way out.
    app: FastAPI = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        static_url=DOCS_FILES.rstrip("/"),
        title="basereward",
        version=__version__,
        description=_DESCRIPTION,
    )
    secured = [] if token_sha256 is None else [Depends(HTTPBearer(auto_error=False))]
    _add_scoring(app, service, config, dependencies=secured, responses=_ERRORS)
    _add_state(app, service, status)
    _add_errors(app)
    limits = GuardLimits(
        body_bytes=config.max_body_bytes,
        bodies_bytes=config.max_bodies_bytes,
        body_timeout_s=config.body_timeout_s,
    )
    app.add_middleware(Guard, token_sha256=token_sha256, limits=limits, retry_after_s=service.retry_after_s)
    app.add_middleware(_Seen, observe=observe)
    return app


def _add_scoring(app: FastAPI, service: RewardService, config: ServeConfig, **more: Any) -> None:
    @app.post("/score", tags=["rewards"], summary="Rewards of a Comparison", **more)
    async def score(body: ScoreRequest) -> ScoreAnswer:
        """Rewards of the responses to one prompt."""
        return await answers.score(service, body)

    @app.post("/score/files", tags=["rewards"], summary="Rewards of a Comparison, images as files", **more)
    async def score_files(
        comparison: Annotated[Json[ScoreRequest], Form(description="JSON as for /score, without images; up to 1 MiB.")],
        images: Annotated[list[UploadFile], File(description="The files, in the order of the places of images.")],
    ) -> ScoreAnswer:
        """As `/score`, of a form with files in place of base64."""
        return await answers.score(service, comparison, [await one.read() for one in images])

    @app.post("/get_reward", tags=["rewards"], summary="OpenRLHF's remote reward model", **more)
    async def get_reward(body: RewardRequest) -> RewardAnswer:
        """OpenRLHF's remote reward model (--remote_rm_url); images may stand beside the queries."""
        return await answers.get_reward(service, body, config.max_responses)

    @app.post("/classify", tags=["rewards"], summary="vLLM's classify", **more)
    async def classify(body: ClassifyRequest) -> ClassifyAnswer:
        """As vLLM's clients ask a reward model; verl's reward loop is one."""
        return await answers.classify(service, body, config.max_responses)

    @app.post("/v1/score", tags=["rewards"], summary="vLLM's score", **more)
    async def pairs(body: PairRequest) -> PairAnswer:
        """As vLLM's clients score pairs of texts: here a prompt and an answer."""
        return await answers.pairs(service, body, config.max_responses)

    @app.get("/v1/models", tags=["state"], summary="The model's name", **more)
    async def models() -> dict[str, Any]:
        """What the model is called."""
        return {"object": "list", "data": [{"id": service.address, "object": "model", "owned_by": "basereward"}]}


def _add_state(app: FastAPI, service: RewardService, status: Callable[[], dict[str, Any]]) -> None:
    @app.get("/health", tags=["state"], summary="Whether the process is well")
    async def health() -> dict[str, str]:
        """Whether this process is well."""
        return {"status": "ok"}

    @app.get(
        "/ready",
        tags=["state"],
        summary="Whether the model answers",
        responses={503: {"description": "no model answers"}},
    )
    async def ready() -> JSONResponse:
        """Whether the model answers; which one, and how much is under way."""
        said = {"ready": service.is_alive, "model": service.address, "under_way": service.num_under_way} | status()
        return JSONResponse(said, 200 if service.is_alive else 503)


def _add_errors(app: FastAPI) -> None:
    def told(status: int, reason: str, error: Exception, **headers: str) -> Response:
        return JSONResponse({"error": {"type": reason, "message": str(error)}}, status, headers)

    @app.exception_handler(RecordError)
    async def refused(_: Request, error: RecordError) -> Response:
        return told(422, error.reason, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        wrong = [f"{'.'.join(map(str, one['loc'][1:])) or 'body'}: {one['msg']}" for one in error.errors()[:5]]
        is_json = all(one["type"] != "json_invalid" for one in error.errors())
        return told(422 if is_json else 400, "invalid_request", ValueError("; ".join(wrong)))

    @app.exception_handler(Full)
    async def full(_: Request, error: Full) -> Response:
        return told(429, "full", error, **{"Retry-After": str(error.retry_after_s)})

    @app.exception_handler(Closing)
    async def closing(_: Request, error: Closing) -> Response:
        return told(503, "closing", error, **{"Retry-After": "1"})

    @app.exception_handler(TooLate)
    async def late(_: Request, error: TooLate) -> Response:
        return told(504, "too_late", error)

    @app.exception_handler(NotFinite)
    async def not_finite(_: Request, error: NotFinite) -> Response:
        return told(500, "not_finite", error)

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return told(error.status_code, "http", ValueError(error.detail))


class _Seen:
    """Around all: tells the observer of each request, and gives an answer to one that fails in no known way."""

    def __init__(self, app: Any, *, observe: SeesRequest) -> None:
        self._app = app
        self._observe = observe

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start_s, status = time.monotonic(), math.nan

        async def noting(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        except Exception:
            _LOGGER.exception("%s %s", scope["method"], scope["path"])
            if not math.isnan(status):
                raise
            said = {"error": {"type": "internal", "message": "the server failed; its log says how"}}
            await JSONResponse(said, 500)(scope, receive, noting)
        finally:
            if not math.isnan(status):  # a client that has gone got no answer
                self._observe(_route(scope), int(status), time.monotonic() - start_s)


def _route(scope: Any) -> str:
    """The route's path; what matches none is one name, however many are tried."""
    route = scope.get("route")
    return route.path if route is not None else "(none)"
