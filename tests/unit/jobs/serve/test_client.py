"""The client for Python programs: what it sends, when it asks again, and what it raises."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback import serving

from data_pipeline.errors import RunError, Unavailable, UserError
from jobs.serve.client import RewardClient

ANSWER = {"rewards": [1.0, 2.0], "spread": [0.0, 0.0], "probability": 0.27, "model": "models:/m/1"}

RETRY_AFTER = ("0.01", "Sun, 01 Jan 2017 00:00:00 GMT", "soon")
"""As servers, and proxies before them, write it."""


def handler(answers: list[tuple[int, Any]], seen: list[dict[str, Any]]) -> Callable[..., BaseHTTPRequestHandler]:
    """Gives the answers in turn, the last one for ever."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            seen.append({"path": self.path, "token": self.headers.get("Authorization"), "body": body})
            status, content = answers.pop(0) if len(answers) > 1 else answers[0]
            content = content(body) if callable(content) else content
            data = json.dumps(content).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", RETRY_AFTER[len(seen) % len(RETRY_AFTER)])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            pass

    return Handler


def test_it_sends_the_token_and_files_and_comes_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.png").write_bytes(b"abc")
    monkeypatch.setenv("BASEREWARD_SERVE_TOKEN", "from the environment")
    monkeypatch.setattr("jobs.serve.client._PAUSE_S", 0.01)  # where the server asks for none
    seen: list[dict[str, Any]] = []
    full = (429, {"error": {"type": "full", "message": "come again"}})
    with serving(handler([full, full, (200, ANSWER)], seen)) as url, RewardClient(f"{url}/models/m") as client:
        found = client.score("What?", ["a", "b"], [tmp_path / "a.png", b"xyz", "data:;base64,QQ=="])
    assert (found.rewards, found.model) == ([1.0, 2.0], "models:/m/1")
    assert len(seen) == 3 and seen[2]["path"] == "/models/m/score"
    assert seen[2]["token"] == "Bearer from the environment"
    assert seen[2]["body"]["images"] == ["data:image/*;base64,YWJj", "data:image/*;base64,eHl6", "data:;base64,QQ=="]


@pytest.mark.parametrize(("status", "error"), [(422, UserError), (401, UserError), (500, RunError), (429, Unavailable)])
def test_what_gets_no_rewards_is_an_error_with_the_servers_words(status: int, error: type[Exception]) -> None:
    said = (status, {"error": {"type": "x", "message": "what the server says"}})
    with (
        serving(handler([said], [])) as url,
        RewardClient(url, "token", patience_s=0.05) as client,
        pytest.raises(error, match=f"{status}: what the server says"),
    ):
        client.score("What?", ["a"])


def test_nobody_there_is_unavailable() -> None:
    with (
        RewardClient("http://127.0.0.1:9", "token", patience_s=0.01) as client,
        pytest.raises(Unavailable, match="ConnectError"),
    ):
        client.score("What?", ["a"])
    with RewardClient("http://127.0.0.1:9") as client, pytest.raises(UserError, match="no.png.: .*give bytes"):
        client.score("What?", ["a"], "no.png")


def test_pairs_of_one_prompt_are_one_request_and_come_back_in_order() -> None:
    def by_length(body: dict[str, Any]) -> dict[str, Any]:
        return ANSWER | {"rewards": [float(len(body["prompt"] + one)) for one in body["responses"]]}

    seen: list[dict[str, Any]] = []
    with serving(handler([(200, by_length)], seen)) as url, RewardClient(url, "token") as client:
        found = client.rewards(["P", "QQ", "P", "P"], ["a", "bb", "ccc", "d"], [None, None, None, b"x"])
    assert found == [2.0, 4.0, 4.0, 2.0]
    assert sorted(len(one["body"]["responses"]) for one in seen) == [1, 1, 2]
