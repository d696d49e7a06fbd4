"""One question to an OpenAI-compatible address, and what became of it.

    ask --tries, in all 1 + retries--> _once (a slot, the gate, at most timeout_s) -> _post (bounded bytes)
      -> Reply          a verdict, or none that can be read; tokens
      -> Refused        of this question: 400 and its like
      -> Unanswered     after all tries: 429, 5xx, time-outs, cut streams, bodies without an answer
      -> an error       of all questions: the key, the model, the address

No text of the server leaves this module with the key in it.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import httpx2
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, stop_after_attempt

from data_pipeline.errors import RunError, Unavailable, UserError
from data_pipeline.shown import MASK, one_line, unwrapped
from data_pipeline.storage.web import is_passing, retry_after_s, trusted
from rm_core.evaluation.judge.endpoint_config import EndpointConfig
from rm_core.evaluation.judge.verdicts import Reply, read_verdict

__all__ = ["Endpoint", "Refused", "Unanswered"]

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.5, 60.0
_LONGEST_RETRY_AFTER_S = 300.0
_MAX_BYTES = 16 << 20
_MOST_TOKENS = 1 << 40
_EXCERPT_CHARS = 160
_OF_THE_QUESTION = (400, 413, 415, 422)
_TRY_OUT = "Which is larger, 1 or 2? Say the number alone."

Content = list[dict[str, Any]]


class Refused(Exception):
    """The server does not take this question; the text says why."""


class Unanswered(Exception):
    """No try gave an answer; the text says why."""


class _Passing(Exception):
    """A failure that may pass."""

    def __init__(self, kind: str, detail: str = "", retry_after_s: float = 0.0) -> None:
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.retry_after_s = retry_after_s


class Endpoint:
    """The address of a judge, for the length of an ``async with``.

    Args:
        key: sent as ``Authorization: Bearer``; None: nothing is.
        section: of the recipe that names it, for messages.
    """

    def __init__(self, config: EndpointConfig, key: str | None, section: str = "evaluate.judge") -> None:
        self._config = config
        self._section = section
        self._key = key
        self._url = f"{(config.url or '').rstrip('/')}/chat/completions"
        self._slots = asyncio.Semaphore(config.concurrency)
        self._closed_until_s = 0.0

    async def __aenter__(self) -> Self:
        headers = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "basereward"}
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        try:  # `_once` bounds everything at once, and slots bound the connections
            limits = httpx2.Limits(max_connections=self._config.concurrency)
            self._client = httpx2.AsyncClient(headers=headers, timeout=None, verify=trusted(), limits=limits)
        except (ImportError, ValueError) as error:  # of a proxy that the environment names
            raise RunError(f"cannot ask the judge: {error}; correct or unset ALL_PROXY and its like") from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def try_out(self) -> None:
        """Ask one short question, so that a wrong key, model or address ends the work before it begins.

        Raises:
            BaserewardError: says what is wrong.
        """
        try:
            await self.ask(lambda: [{"type": "text", "text": _TRY_OUT}], Counter())
        except Refused as error:
            raise UserError(
                f"the judge refuses a short question, so it would refuse all: {error}; compare {self._section}.model, "
                "temperature, max_tokens and token_limit_field with what the server takes"
            ) from error
        except Unanswered as error:
            raise Unavailable(f"the judge does not answer: {error}; check that {self._url} is up") from error

    async def ask(self, content: Callable[[], Content], repeated: Counter[str]) -> Reply:
        """Ask until there is an answer.

        Args:
            content: makes the message, when its turn has come.
            repeated: counts failures that may pass, by kind.

        Raises:
            Refused: by the server, of this question alone.
            Unanswered: no try gave an answer.
            BaserewardError: the server takes no question of ours.
        """
        again = AsyncRetrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(self._config.retries + 1),
            wait=_pause_s,
            reraise=True,
        )
        try:
            return await again(self._counted, content, repeated)
        except _Passing as error:
            tries = self._config.retries + 1
            raise Unanswered(f"{error}; tried {tries} {'time' if tries == 1 else 'times'}") from error

    async def _counted(self, content: Callable[[], Content], repeated: Counter[str]) -> Reply:
        try:
            return await self._once(content)
        except _Passing as error:
            repeated[error.kind] += 1
            # Who asks too much is told so for all that is asked.
            self._closed_until_s = max(self._closed_until_s, time.monotonic() + error.retry_after_s)
            raise

    async def _once(self, content: Callable[[], Content]) -> Reply:
        async with self._slots:
            while (left_s := self._closed_until_s - time.monotonic()) > 0:
                await asyncio.sleep(left_s)
            body = self._body(content())
            try:
                async with asyncio.timeout(self._config.timeout_s):
                    response, data = await self._post(body)
            except TimeoutError as error:
                raise _Passing("timeout", f"no answer within {self._config.timeout_s:g} s") from error
            except httpx2.ConnectError as error:
                raise _Passing("no_connection", self._shown(str(error))) from error
            except httpx2.RequestError as error:
                raise _Passing("cut", self._shown(f"{type(error).__name__}: {error}")) from error
        if response.status_code != 200:
            raise self._failure(response, data)
        return self._reply(data)

    def _body(self, content: Content) -> bytes:
        config = self._config
        body: dict[str, Any] = {
            "model": config.model,
            "messages": [{"role": "user", "content": content}],
            config.token_limit_field: config.max_tokens,
        }
        if config.temperature is not None:
            body["temperature"] = config.temperature
        return json.dumps(body, ensure_ascii=True).encode()

    async def _post(self, body: bytes) -> tuple[httpx2.Response, bytes]:
        async with self._client.stream("POST", self._url, content=body) as response:
            data = bytearray()
            async for piece in response.aiter_bytes():  # fewer bytes than declared are a RequestError
                data += piece
                if len(data) > _MAX_BYTES:
                    raise _Passing("nonsense", f"more than {_MAX_BYTES:,} bytes")
            return response, bytes(data)

    def _failure(self, response: httpx2.Response, data: bytes) -> Exception:
        """What a status other than 200 means."""
        status = response.status_code
        said = f"HTTP {status} {self._shown(_message_of(data))}".strip()
        if is_passing(status):
            return _Passing(f"http_{status}", said, _retry_after_s(response.headers.get("Retry-After", "")))
        if status in _OF_THE_QUESTION:
            return Refused(said)
        cures = {
            401: f"set the key in the variable that {self._section}.key_variable names",
            402: "the account has nothing left",
            403: "the key may not do this, or the server's filter stops the question",
            404: f"compare {self._section}.url, which /chat/completions is put behind, and {self._section}.model",
        }
        cure = "give the address that it answers at" if 300 <= status < 400 else cures.get(status, "see its log")
        return UserError(f"the judge at {self._url} takes no question: {said}: {cure}; what is judged is kept")

    def _reply(self, data: bytes) -> Reply:
        """The answer in a body that has one.

        A message without text (all its tokens were thoughts) is an answer without a verdict; a body without a message
        is none.
        """
        try:
            body = json.loads(data)
            message = body["choices"][0]["message"]
            text = "" if message["content"] is None else message["content"]
        except (ValueError, RecursionError, LookupError, TypeError) as error:
            said = data.decode("utf8", "replace")
            raise _Passing("nonsense", self._shown(f"no chat completion: {said}")) from error
        if not isinstance(text, str):
            raise _Passing("nonsense", "the message's content is no text")
        usage = body.get("usage")
        return Reply(
            verdict=read_verdict(text),
            excerpt=one_line(self._without_key(text)[-_EXCERPT_CHARS:]),
            text=text if self._key is None else text.replace(self._key, MASK),
            tokens_read=_tokens(usage, "prompt_tokens"),
            tokens_written=_tokens(usage, "completion_tokens"),
        )

    def _shown(self, text: str) -> str:
        """A text of the server, all of it, as the beginning of one line."""
        return one_line(self._without_key(text))

    def _without_key(self, text: str) -> str:
        """In one line; the key is taken out before anything is cut."""
        return unwrapped(text if self._key is None else text.replace(self._key, MASK))


def _pause_s(state: RetryCallState) -> float:
    """Seconds before the next try: twice as many each time, and at least what the server asked for."""
    error = None if state.outcome is None else state.outcome.exception()
    asked_s = error.retry_after_s if isinstance(error, _Passing) else 0.0
    return max(asked_s, min(_FIRST_PAUSE_S * 2.0 ** (state.attempt_number - 1), _LONGEST_PAUSE_S))


def _retry_after_s(text: str) -> float:
    """As `retry_after_s`, and at most five minutes."""
    return min(retry_after_s(text), _LONGEST_RETRY_AFTER_S)


def _message_of(data: bytes) -> str:
    """What the body of an error says."""
    try:
        said = json.loads(data)["error"]
        return str(said["message"] if isinstance(said, dict) else said)
    except (ValueError, RecursionError, LookupError, TypeError):
        return data.decode("utf8", "replace")


def _tokens(usage: object, name: str) -> int | None:
    """A count as the server gives it; None for what is none."""
    found = usage.get(name) if isinstance(usage, dict) else None
    is_count = isinstance(found, int) and not isinstance(found, bool) and 0 <= found < _MOST_TOKENS
    return found if is_count else None
