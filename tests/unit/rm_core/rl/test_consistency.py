"""Another model on consistency, by a real server: each text once, and nothing that nobody said."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from judge_server import Fault, JudgeServer, completion

from data_pipeline.errors import BaserewardError, CorruptData, MissingInput, Unavailable, UserError
from rm_core.evaluation.judge import endpoint as endpoint_module
from rm_core.rl.config import ConsistencyConfig
from rm_core.rl.consistency import ConsistencyJudge, agreement_of, counted
from rm_core.rl.judging import Judged

ASKED = re.compile(r"\[Reasoning\]\n(.*?)\n\[End of the reasoning\].*Answer ([12]) is better", re.DOTALL)
KEY = "sk-Zm9vYmFyLXNlY3JldA"
SURE = Judged(why="The first has a wrong colour.", verdict=1)
UNSURE = Judged(why="The first is right {verdict}.", verdict=1)


def says(why: str, verdict: str) -> str:
    """Agrees where the reasoning finds something wrong."""
    return f"It says so. <answer>{'yes' if 'wrong' in why else 'no'}</answer>"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.001)
    with JudgeServer(says, asked=ASKED) as found:
        yield found


class Notes(list[str]):
    def __call__(self, text: str) -> None:
        self.append(text)


def judge(server: JudgeServer, folder: Path, notes: Notes | None = None, **settings: Any) -> ConsistencyJudge:
    config = replace(ConsistencyConfig(url=server.url, model="m"), **settings)
    return ConsistencyJudge(config, str(folder), Notes() if notes is None else notes)


def test_each_text_is_asked_once_also_by_one_that_goes_on(server: JudgeServer, tmp_path: Path) -> None:
    first = judge(server, tmp_path)
    assert first([SURE, UNSURE, SURE]) == [True, False, True]
    assert sorted(server.asked) == sorted((one.why, "2") for one in (SURE, UNSURE)), "braces in a text mean nothing"
    assert first([UNSURE]) == [False]
    assert judge(server, tmp_path)([SURE, UNSURE]) == [True, False]
    assert server.num_requests == 3 and server.tried_out == 1
    assert judge(server, tmp_path)([replace(SURE, verdict=0)]) == [True], "another verdict is another question"
    assert judge(server, tmp_path, model="other")([SURE]) == [True] and len(server.asked) == 4, "and another model's"
    assert counted(str(tmp_path)) == {
        "texts": 4, "yes": 3, "no": 1, "tokens_read": 400, "tokens_written": 28
    }  # fmt: skip


def test_what_was_answered_before_a_kill_is_not_asked_again(server: JudgeServer, tmp_path: Path) -> None:
    """A kill leaves a file an answer; those of a batch that ended are one file."""
    killed = judge(server, tmp_path)
    killed._kept.settle = lambda: None  # type: ignore[method-assign]  # it did not come so far
    killed([SURE, UNSURE])
    assert len(list(tmp_path.iterdir())) == 2
    assert judge(server, tmp_path)([SURE, UNSURE]) == [True, False] and len(server.asked) == 2
    judge(server, tmp_path)([replace(SURE, why=f"wrong {number}") for number in range(5)])
    assert len(list(tmp_path.iterdir())) == 3 and counted(str(tmp_path))["texts"] == 7


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(status=429), "http_429"),
        (Fault(status=503, headers={"Retry-After": "0"}), "http_503"),
        (Fault(delay_s=2.0), "timeout"),
        (Fault(cut_after=20), "cut"),
        (Fault(body=b"<html>yes</html>"), "nonsense"),
    ],
)
def test_tries_without_an_answer_are_counted_and_bounded(
    server: JudgeServer, tmp_path: Path, fault: Fault, kind: str
) -> None:
    notes = Notes()
    how: dict[str, Any] = {"retries": 2, **({"timeout_s": 1.0} if kind == "timeout" else {})}
    heard = judge(server, tmp_path, notes, **how)
    server.plan(fault, fault)
    assert heard([UNSURE]) == [False] and server.num_requests == 4
    assert notes == [f"rl.reward.consistency: tries without an answer: 2 {kind}"]
    server.plan(*[fault] * 3)
    with pytest.raises(Unavailable, match=f"{kind}.*tried 3 times.*consistency.unanswered"):
        heard([SURE, UNSURE])
    assert counted(str(tmp_path))["texts"] == 1, "no answer is kept as none"
    left = judge(server, tmp_path, notes, unanswered="leave", **how)
    server.plan(*[fault] * 3)
    assert left([SURE, UNSURE]) == [None, False]
    assert "nothing is learnt from 1 texts" in notes[-1]
    assert left([SURE, UNSURE]) == [True, False], "it is asked about again"


def test_what_is_answered_beside_a_failure_is_kept(server: JudgeServer, tmp_path: Path) -> None:
    server.plan(*[Fault(status=500)] * 5)
    many = [replace(SURE, why=f"wrong {number}") for number in range(6)]
    with pytest.raises(Unavailable):
        judge(server, tmp_path, retries=0)(many)
    assert counted(str(tmp_path))["texts"] == 1
    assert judge(server, tmp_path)(many) == [True] * 6 and Counter(server.asked).most_common(1)[0][1] == 1


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Fault(body=completion("It depends.")), "unread"),
        (Fault(body=completion("<answer>yes</answer><answer>no</answer>")), "unread"),
        (Fault(body=completion("<think>yes")), "unread"),
        (Fault(body=completion(None)), "unread"),
        (Fault(status=400, body=b'{"error": "too long"}'), "refused"),
    ],
)
def test_what_says_neither_yes_nor_no_is_counted_and_no_verdict(
    server: JudgeServer, tmp_path: Path, fault: Fault, kind: str
) -> None:
    server.plan(fault)
    assert judge(server, tmp_path)([SURE]) == [None]
    found = counted(str(tmp_path))
    assert (found["texts"], found[kind], found["yes"], found["no"]) == (1, 1, 0, 0)
    assert judge(server, tmp_path)([SURE]) == [None] and server.num_requests == 2, "nor asked about again"


def test_a_wrong_key_ends_the_work_and_no_key_is_shown(
    server: JudgeServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingInput, match=r"JUDGE_KEY \(rl\.reward\.consistency\.key_variable\) is not set"):
        judge(server, tmp_path, key_variable="JUDGE_KEY")
    monkeypatch.setenv("JUDGE_KEY", KEY)
    server.plan(Fault(status=401, body=KEY.encode()))
    with pytest.raises(UserError, match=r"rl\.reward\.consistency\.key_variable") as told:
        judge(server, tmp_path, key_variable="JUDGE_KEY")([SURE])
    assert KEY not in str(told.value) and server.authorizations == {f"Bearer {KEY}"}
    judge(server, tmp_path, key_variable="JUDGE_KEY")([SURE])
    assert all(KEY not in file.read_text() for file in tmp_path.iterdir())


def test_a_server_that_is_not_there_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.001)
    config = ConsistencyConfig(url="http://127.0.0.1:9/v1", model="m", retries=1)
    with pytest.raises(BaserewardError, match="no_connection"):
        ConsistencyJudge(config, str(tmp_path), Notes())([SURE])


def test_a_damaged_file_is_named(server: JudgeServer, tmp_path: Path) -> None:
    judge(server, tmp_path)([SURE])
    [file] = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"true", b"null"))
    with pytest.raises(CorruptData, match=file.name):
        judge(server, tmp_path)


def test_nobody_is_asked_where_no_address_is_named(tmp_path: Path) -> None:
    assert agreement_of(ConsistencyConfig(), str(tmp_path), Notes()) is None
    assert Counter(counted(str(tmp_path))) == {}
