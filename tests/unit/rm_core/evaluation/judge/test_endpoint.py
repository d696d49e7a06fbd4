"""A server that fails in every way: each failure is counted and repeated, and none becomes a verdict."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from judge_server import Fault, JudgeServer, completion

from data_pipeline.errors import BaserewardError, Unavailable, UserError
from rm_core.evaluation.judge import endpoint as endpoint_module
from rm_core.evaluation.judge.config import JudgeConfig
from rm_core.evaluation.judge.endpoint import Endpoint, Refused, Unanswered, _retry_after_s
from rm_core.evaluation.judge.verdicts import Reply

QUESTION = [{"type": "text", "text": "[Answer 1]\na\n[End of answer 1]\n[Answer 2]\nb\n[End of answer 2]"}]
KEY = "sk-Zm9vYmFyLXNlY3JldA"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.001)
    with JudgeServer(lambda first, second: "1") as found:
        yield found


def ask(server: JudgeServer, repeated: Counter[str] | None = None, key: str | None = None, **settings: object) -> Reply:
    config = replace(JudgeConfig(url=server.url, model="m"), **settings)  # type: ignore[arg-type]

    async def run() -> Reply:
        async with Endpoint(config, key) as endpoint:
            return await endpoint.ask(lambda: QUESTION, Counter() if repeated is None else repeated)

    return asyncio.run(run())


def test_an_answer(server: JudgeServer) -> None:
    assert ask(server, key=KEY, temperature=0.5, max_tokens=9) == Reply(
        verdict=1, excerpt="1", tokens_read=100, tokens_written=7, text="1"
    )
    sent = {"model": "m", "messages": [{"role": "user", "content": QUESTION}], "max_tokens": 9, "temperature": 0.5}
    assert (server.bodies, server.authorizations) == ([sent], {f"Bearer {KEY}"})
    ask(server, token_limit_field="max_completion_tokens")
    assert server.bodies[1].keys() == {"model", "messages", "max_completion_tokens"}
    assert None in server.authorizations


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=429), "http_429"),
        (Fault(status=408), "http_408"),
        (Fault(status=500), "http_500"),
        (Fault(status=503, headers={"Retry-After": "nonsense"}), "http_503"),
        (Fault(status=529, body=b"overloaded"), "http_529"),
        (Fault(cut_after=20), "cut"),
        (Fault(cut_after=0), "cut"),
        (Fault(body=b"<html>1</html>"), "nonsense"),
        (Fault(body=b"1"), "nonsense"),
        (Fault(body=b"[" * 200_000), "nonsense"),
        (Fault(body=b'{"error": {"message": "1"}}'), "nonsense"),
        (Fault(body=b'{"choices": []}'), "nonsense"),
        (Fault(body=b'{"choices": [{"message": {"content": 1}}]}'), "nonsense"),
        (Fault(body=b'{"choices": [{"message": {"content": ["1"]}}]}'), "nonsense"),
        (Fault(body=b'{"choices": [{"text": "1"}]}'), "nonsense"),
        (Fault(body=b'\xff\xfe{"choices"'), "nonsense"),
    ],
)  # fmt: skip
def test_what_may_pass_is_counted_and_asked_again(server: JudgeServer, fault: Fault, kind: str) -> None:
    repeated: Counter[str] = Counter()
    server.plan(fault, fault)
    assert ask(server, repeated).verdict == 1
    assert repeated == {kind: 2}
    assert server.num_requests == 3
    server.plan(*[fault] * 3)
    with pytest.raises(Unanswered, match=f"{kind}.*tried 3 times"):
        ask(server, repeated, retries=2)
    assert repeated == {kind: 5}


def test_a_server_that_is_silent_is_given_up(server: JudgeServer) -> None:
    repeated: Counter[str] = Counter()
    server.plan(Fault(delay_s=1.0))
    with pytest.raises(Unanswered, match=r"timeout: no answer within 0\.2 s; tried 1 time$"):
        ask(server, repeated, timeout_s=0.2, retries=0)
    assert repeated == {"timeout": 1}


def test_nobody_is_there() -> None:
    with JudgeServer(lambda first, second: "1") as gone:
        pass
    repeated: Counter[str] = Counter()
    with pytest.raises(Unanswered, match=r"no_connection: .*; tried 1 time$"):
        ask(gone, repeated, retries=0)
    assert repeated == {"no_connection": 1}


def test_too_long_a_body_is_not_read_to_its_end(server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_MAX_BYTES", 1000)
    server.plan(Fault(body=completion("1" * 5000)))
    repeated: Counter[str] = Counter()
    assert ask(server, repeated).verdict == 1
    assert repeated == {"nonsense": 1}


def test_a_pause_that_the_server_wants_holds_for_all_questions(server: JudgeServer) -> None:
    config = JudgeConfig(url=server.url, model="m", concurrency=1)
    server.plan(Fault(status=429, headers={"Retry-After": "0.3"}))

    async def run() -> list[float]:
        ended = []
        async with Endpoint(config, None) as endpoint:
            for call in [asyncio.create_task(endpoint.ask(lambda: QUESTION, Counter())) for _ in range(3)]:
                await call
                ended.append(time.monotonic())
        return ended

    began = time.monotonic()
    assert min(asyncio.run(run())) - began >= 0.3
    assert server.num_requests == 4


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("0.5", 0.5), ("", 0.0), ("-5", 0.0), ("nan", 0.0), ("1e9", 0.0), ("99999999", 300.0), ("x", 0.0),
     ("9" * 400, 300.0)],
)  # fmt: skip
def test_what_a_server_may_ask_for_is_bounded(text: str, seconds: float) -> None:
    assert _retry_after_s(text) == seconds


def test_a_pause_until_a_date() -> None:
    assert 8 < _retry_after_s(format_datetime(datetime.now(UTC) + timedelta(seconds=10), usegmt=True)) <= 10
    assert _retry_after_s(format_datetime(datetime.now(UTC) - timedelta(days=1), usegmt=True)) == 0


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_may_be_refused_and_is_not_asked_again(server: JudgeServer, status: int) -> None:
    server.plan(Fault(status=status, body=b'{"error": {"message": "too\\nlong"}}'))
    with pytest.raises(Refused, match=f"HTTP {status} too long"):
        ask(server)
    assert server.num_requests == 1


@pytest.mark.parametrize(
    ("status", "cure"),
    [(401, "the variable that"), (402, "nothing left"), (403, "may not"), (404, "evaluate.judge.url"),
     (302, "the address that it answers at"), (405, "see its log")],
)  # fmt: skip
def test_a_server_that_takes_nothing_ends_the_work(server: JudgeServer, status: int, cure: str) -> None:
    server.plan(Fault(status=status, headers={"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(UserError, match=f"HTTP {status} .*{cure}"):
        ask(server)
    assert server.num_requests == 1


@pytest.mark.parametrize("text", [None, "", "The first one.", "1 and 2"])
def test_an_answer_without_a_verdict_is_none_and_costs_what_it_says(server: JudgeServer, text: str | None) -> None:
    server.plan(Fault(body=completion(text, usage={"prompt_tokens": 5, "completion_tokens": True})))
    reply = ask(server)
    assert (reply.verdict, reply.tokens_read, reply.tokens_written) == (None, 5, None)
    assert server.num_requests == 1


@pytest.mark.parametrize("usage", [None, 3, {"prompt_tokens": -1}, {"prompt_tokens": "9"}, {"prompt_tokens": 10**30}])
def test_counts_that_are_none_are_not_taken(server: JudgeServer, usage: object) -> None:
    server.plan(Fault(body=completion("2", usage=usage)))
    assert ask(server) == Reply(verdict=2, excerpt="2", tokens_read=None, tokens_written=None, text="2")


@pytest.mark.parametrize("status", [200, 400, 401, 500])
def test_a_server_that_repeats_the_key_does_not_spread_it(server: JudgeServer, status: int) -> None:
    long = f"{'x' * 170}{KEY} {KEY}"
    body = completion(long) if status == 200 else f'{{"error": {{"message": "{long}"}}}}'.encode()
    server.plan(Fault(status=status, body=body))
    try:
        said = ask(server, key=KEY, retries=0).excerpt
    except (BaserewardError, Refused, Unanswered) as error:
        said = str(error)
    assert "***" in said and KEY[:8] not in said and KEY[-8:] not in said


def test_a_short_question_finds_what_is_wrong_before_the_work() -> None:
    async def run(config: JudgeConfig) -> None:
        async with Endpoint(config, None) as endpoint:
            await endpoint.try_out()

    with JudgeServer(lambda first, second: "1") as server:
        asyncio.run(run(JudgeConfig(url=server.url, model="m")))
        assert (server.tried_out, server.asked) == (1, [])
        with pytest.raises(UserError, match="HTTP 404 no such path"):
            asyncio.run(run(JudgeConfig(url=f"{server.url}/v2", model="m")))
    with pytest.raises(Unavailable, match="the judge does not answer: no_connection"):
        asyncio.run(run(JudgeConfig(url=server.url, model="m", retries=0)))
