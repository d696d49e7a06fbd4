"""For Python programs that ask `basereward serve`.

    client = RewardClient("http://127.0.0.1:8000")
    client.score("What is it?", ["A bus.", "A dog."], images=["bus.png"]).rewards

A server that is full, that ends, or that can't be reached is asked again for `patience_s`; what can't be scored is a
`UserError` at once, and never a number.
"""

import base64
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2

from data_pipeline.errors import BaserewardError, RunError, Unavailable, UserError
from data_pipeline.storage.web import retry_after_s

__all__ = ["RewardClient", "RowRefused", "Scores"]

TOKEN_VARIABLE = "BASEREWARD_SERVE_TOKEN"  # noqa: S105  # a variable's name
_AGAIN = (429, 502, 503)
"""Statuses of a server that may answer later."""
_PAUSE_S = 0.5

Prompt = str | Sequence[Mapping[str, Any]]
Image = str | bytes | Path
"""A data URL or bytes; another text, and a Path, is the place of a file here."""


class RowRefused(UserError):
    """The server has read what was asked, and it can't be scored: an answer is too long, or there is none."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """What a Comparison got; lists have one entry a response."""

    rewards: list[float]
    spread: list[float]
    probability: float | None
    model: str
    critiques: list[list[str]] = field(default_factory=list)
    """What critics wrote of each response; empty where none did, as of all servers of early versions."""
    critique_tokens: int = 0
    verdicts: list[dict[str, Any]] = field(default_factory=list)
    """What judges that reason wrote: ``first``, ``second``, ``said`` and ``texts`` of each pair in both orders."""
    verdict_tokens: int = 0
    verdicts_unread: int = 0
    """Texts of these without a verdict that can be read."""


class RewardClient:
    """Asks one server; threads may share it.

    Args:
        url: where it answers, for one of several models ``http://HOST:PORT/models/NAME``.
        token: None: the variable BASEREWARD_SERVE_TOKEN has it, where the server wants one.
        timeout_s: of one try.
        patience_s: for which a server is asked again that may answer later.
        workers: requests under way at once.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        timeout_s: float = 120.0,
        patience_s: float = 120.0,
        workers: int = 16,
    ) -> None:
        token = os.environ.get(TOKEN_VARIABLE) if token is None else token
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._client = httpx2.Client(base_url=url.rstrip("/"), headers=headers, timeout=timeout_s)
        self._patience_s = patience_s
        self._pool = ThreadPoolExecutor(max_workers=workers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(cancel_futures=True)
        self._client.close()

    def score(
        self,
        prompt: Prompt,
        responses: Sequence[str],
        images: Image | Iterable[Image] | None = None,
        critiques: Sequence[str] | None = None,
    ) -> Scores:
        """The rewards of the responses to one prompt.

        Args:
            prompt: a text, or turns ``{"role", "content"}``.
            images: for the places of the prompt, in order.
            critiques: one of each response, for a critic; None: it writes its own.

        Raises:
            RowRefused: it can't be scored.
            UserError: the token is wrong.
            Unavailable: there was no answer in `patience_s`.
            RunError: the server failed.
        """
        body: dict[str, Any] = {"prompt": prompt, "responses": list(responses)}
        if images is not None:
            body["images"] = [_data_url(one) for one in _listed(images)]
        if critiques is not None:
            body["critiques"] = list(critiques)
        return Scores(**self._asked("/score", body))

    def rewards(
        self, prompts: Sequence[Prompt], responses: Sequence[str], images: Sequence[Any] | None = None
    ) -> list[float]:
        """One reward for each pair, in order; what has one prompt goes in one request, and requests go side by side.

        Args:
            images: of every prompt: None, an image or several.
        """
        shown = [None] * len(prompts) if images is None else list(images)
        groups: dict[str, list[int]] = {}
        for place, (prompt, given, _) in enumerate(zip(prompts, shown, responses, strict=True)):
            groups.setdefault(repr((prompt, given)), []).append(place)
        places = list(groups.values())
        asked = [
            self._pool.submit(self.score, prompts[group[0]], [responses[one] for one in group], shown[group[0]])
            for group in places
        ]
        found = [0.0] * len(responses)
        for group, future in zip(places, asked, strict=True):
            for one, reward in zip(group, future.result().rewards, strict=True):
                found[one] = reward
        return found

    def _asked(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        until_s = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._client.post(path, json=body)
            except httpx2.TransportError as error:
                said, pause_s = f"{type(error).__name__}: {error}", _PAUSE_S
            else:
                if answer.status_code == 200:
                    return dict(answer.json())
                said = f"{answer.status_code}: {_message(answer)}"
                if answer.status_code not in _AGAIN:
                    raise _error_of(answer.status_code)(f"{answer.request.url}: {said}")
                pause_s = retry_after_s(answer.headers.get("Retry-After")) or _PAUSE_S
            if time.monotonic() + pause_s > until_s:
                raise Unavailable(f"{self._client.base_url}: no answer in {self._patience_s:g} s: {said}")
            time.sleep(pause_s)


def _error_of(status: int) -> type[BaserewardError]:
    if status in (413, 422):
        return RowRefused
    return UserError if status < 500 else RunError


def _message(answer: httpx2.Response) -> str:
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:200]


def _listed(images: Image | Iterable[Image]) -> list[Image]:
    return [images] if isinstance(images, str | bytes | Path) else list(images)


def _data_url(image: Image) -> str:
    if isinstance(image, str) and image.startswith("data:"):
        return image
    try:
        data = image if isinstance(image, bytes) else Path(image).read_bytes()
    except OSError as error:
        raise UserError(f"{image!r}: {error.strerror}: give bytes, a data URL, or the path of a file here") from error
    return f"data:image/*;base64,{base64.b64encode(data).decode()}"
