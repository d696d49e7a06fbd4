"""`evaluate` with a judge in place of a model, against a real server: each item once, whatever happens on the way."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from html_pages import PageReader
from judge_server import Fault, JudgeServer
from mlflow import MlflowClient
from prepared_toys import ToyData, ToyRow, toy_comparison, write_toy
from suite_toys import write_suite

from data_pipeline.errors import MissingInput, RecipeError, Unavailable, UserError
from jobs.evaluate import evaluate
from jobs.evaluate.judge import judge_split, judge_suite
from jobs.evaluate.prepare import prepare
from jobs.evaluate.suites import open_suites
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.submit.checks import check_submitted
from rm_core.evaluation.judge import endpoint as endpoint_module
from rm_core.evaluation.judge.kept import JudgeCounts

SUITE = "mm_rlhf_rewardbench"
NUM = 10
"""Comparisons of the split, and rows of the suite in most tests."""
KEY = "sk-a-secret-of-a-judge"


def right(first: str, second: str) -> str:
    """The verdict of a judge who knows."""
    return "Because. <answer>1</answer>" if first.startswith("Right") else "2"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("judged")
    rows = []
    for n in range(NUM):
        answers = [f"Right so {n}.", f"Wrong so {n}."][:: 1 - 2 * (n % 2)]
        comparison = toy_comparison(n, images=n % 2, ranks=(n % 2, 1 - n % 2), answers=answers)
        rows.append(ToyRow(comparison=comparison, split="heldout"))
    write_toy(folder / "shards", ToyData(rows=rows))
    write_suite(folder / "root", SUITE)
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.001)
    with JudgeServer(right) as found:
        yield found


def recipe_in(place: Path, output: str, url: str | None, **settings: Any) -> Recipe:
    file = place / "r.yaml"
    file.write_text(f"run_dir: {place}\n")
    judge = {"url": url, "model": "judge-7b", **settings.pop("judge", {})}
    settings = {"output": f"{place}/{output}", "bootstrap_samples": 20, **settings}
    settings |= {f"judge.{name}": value for name, value in judge.items()}
    return load_recipe(str(file), settings={f"evaluate.{key}": value for key, value in settings.items()})


def split_in(place: Path, output: str, url: str, limit: int = NUM, **judge: Any) -> tuple[list[Any], JudgeCounts]:
    """Rewards of the first Comparisons of the split, and what asking came to."""
    evaluation = prepare(recipe_in(place, output, url, judge=judge, limit=limit))
    assert evaluation.data is not None
    scored, counts = judge_split(evaluation, evaluation.data, list(range(limit)))
    return [one.rewards for one in scored], counts


def suite_in(place: Path, output: str, url: str, **judge: Any) -> tuple[bytes, JudgeCounts]:
    """The lines of some rows of the suite, and what asking came to."""
    settings = {"split": None, "suites": [SUITE], "suite_root": f"{place}/root", "missing_pictures": "without"}
    recipe = recipe_in(place, output, url, judge=judge, **settings)
    [data] = open_suites(recipe.evaluate)
    lines = place / output / "lines.jsonl"
    counts = judge_suite(recipe, recipe.evaluate, replace(data, items=data.items[:NUM]), str(lines))
    return lines.read_bytes(), counts


def parts_in(place: Path, output: str) -> int:
    return len(list((place / output).glob("**/*.parts/*.part")))


def test_a_judge_is_measured_as_a_model_is(
    place: Path, server: JudgeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JUDGE_KEY", KEY)
    monkeypatch.setattr(evaluate, "group_names", lambda _, rows: [str(row) for row in rows])  # toys have no signals
    server.rule = lambda first, second: "?" if "Right so 1." in (first, second) else right(first, second)
    settings = {"suites": [SUITE], "suite_root": f"{place}/root", "missing_pictures": "without"}
    judge = {"key_variable": "JUDGE_KEY", "concurrency": 5}
    evaluate.run(recipe_in(place, "all", server.url, judge=judge, **settings))
    report = json.loads((place / "all/report.json").read_text())
    [suite] = json.loads((place / "all/suites.json").read_text())["suites"]
    assert (suite["numbers"]["acc"]["right"], suite["tied_pairs"], suite["not_scored"]) == (170, 0, {})
    assert suite["judge"] == {
        "items": 170, "questions": 340, "unread": 0, "said_first": 170, "verdicts": 340, "pairs": 170, "turned": 0,
        "tokens_read": 34_000, "tokens_written": 2_380, "unmetered": 0, "not_judged": {}, "repeated": {},
    }  # fmt: skip
    overall = report["overall"]["accuracy"]
    assert (overall["right"], overall["tied_rewards"], overall["num_pairs"]) == (NUM - 1, 1, NUM)
    assert (report["judge"]["not_judged"], report["judge"]["unread"]) == ({"no_verdict": 1}, 2)
    # Once in each order, however often a text occurs; and the two short questions.
    assert (server.num_requests, server.tried_out, server.authorizations) == (
        2 * (170 + NUM) + 2,
        2,
        {f"Bearer {KEY}"},
    )
    assert 1 < server.most_under_way <= 5
    said = f"A judge gave the rewards: judge-7b at {server.url}, asked about every pair in both orders."
    page = PageReader((place / "all/report.html").read_text())
    assert said in page.text and page.fetching == []
    assert any(text.startswith(f"1 of {NUM} Comparisons have no verdict of the judge") for text in page.text)
    assert "34,000 read, 2,380 written" in page.text  # of the suite
    assert "A judge gave the rewards: judge-7b at http" in (place / "all/suites.md").read_text()
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    run = client.get_run(json.loads((place / "all/job_state.json").read_text())["mlflow_run_id"])
    assert (run.data.metrics[f"suite/{SUITE}/acc"], run.data.tags["judge"]) == (1.0, said)
    assert run.data.metrics["eval/accuracy"] == (NUM - 1) / NUM
    assert run.data.tags["mlflow.note.content"].count("A judge gave the rewards") == 2
    written = "".join(file.read_bytes().decode("latin-1") for file in place.rglob("*") if file.is_file())
    assert KEY not in written + "".join(capsys.readouterr())


def test_interrupted_and_resumed_no_item_is_asked_twice(place: Path, server: JudgeServer) -> None:
    whole, counts = suite_in(place, "whole", server.url)
    server.asked.clear()

    def interrupts(first: str, second: str) -> str:
        if len(server.asked) == 9:  # the first question of the fifth item, whose answer comes too late
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)
        return right(first, second)

    server.rule = interrupts
    with pytest.raises(KeyboardInterrupt):
        suite_in(place, "killed", server.url, concurrency=1)
    assert parts_in(place, "killed") == 4
    server.rule = right
    assert suite_in(place, "killed", server.url, concurrency=3) == (whole, counts)
    twice = [one for one, count in Counter(server.asked).items() if count > 1]
    assert len(twice) <= 2 and all("Right 4." in one for one in twice)  # what was under way
    asked = server.num_requests
    assert suite_in(place, "killed", server.url) == (whole, counts)
    assert server.num_requests == asked


def test_an_outage_ends_the_command_and_keeps_what_is_answered(place: Path, server: JudgeServer) -> None:
    whole, _ = suite_in(place, "whole", server.url)
    server.plan(*[Fault()] * 6, *[Fault(status=503)] * 4)  # two questions, two tries each
    with pytest.raises(Unavailable, match=r"no answer about item .*: http_503: HTTP 503.*; tried 2 times; what is"):
        suite_in(place, "outage", server.url, retries=1, concurrency=1)
    assert parts_in(place, "outage") == 3
    lines, counts = suite_in(place, "outage", server.url)
    assert (lines, counts.repeated) == (whole, {})


def test_others_under_way_end_before_a_failure_does(place: Path, server: JudgeServer) -> None:
    server.plan(Fault(status=500), *[Fault(delay_s=0.2)] * 5)
    with pytest.raises(Unavailable):
        suite_in(place, "others", server.url, retries=0, concurrency=6)
    assert parts_in(place, "others") >= 2


def test_faults_are_counted_and_are_no_verdicts(place: Path, server: JudgeServer) -> None:
    server.plan(Fault(status=429), Fault(cut_after=9), Fault(body=b"1"), Fault(status=502), Fault(status=400))
    lines, counts = suite_in(place, "faults", server.url, concurrency=1)
    assert counts.repeated == {"cut": 1, "http_429": 1, "http_502": 1, "nonsense": 1}
    assert (counts.not_judged, counts.questions, counts.verdicts) == ({"refused": 1}, 2 * NUM - 1, 2 * NUM - 1)
    refused = [json.loads(line) for line in lines.splitlines() if b"refused" in line]
    assert [one["rewards"] for one in refused] == [None]
    server.plan(*[Fault(status=500)] * 6)
    lines, counts = suite_in(place, "wrong", server.url, retries=2, unanswered="wrong", concurrency=1)
    assert (counts.not_judged, counts.repeated) == ({"unanswered": 1}, {"http_500": 6})
    assert json.loads(lines.splitlines()[0])["error"].startswith("unanswered: http_500: HTTP 500")


def test_a_judge_of_places_ties_everything_and_one_who_rambles_has_no_verdict(place: Path, server: JudgeServer) -> None:
    server.rule = lambda first, second: "1"
    rewards, counts = split_in(place, "place", server.url)
    assert (set(rewards), counts.turned, counts.said_first) == ({(0.5, 0.5)}, NUM, 2 * NUM)
    server.rule = lambda first, second: "The first one" if "Right 7." in (first, second) else right(first, second)
    lines, counts = suite_in(place, "rambles", server.url)
    assert (counts.not_judged, counts.unread, counts.verdicts) == ({"no_verdict": 1}, 2, 2 * NUM - 2)
    line = json.loads(lines.splitlines()[7])
    assert line["error"] == "no_verdict: answers 0 and 1 in this order: 'The first one'"
    assert (line["verdicts"], line["rewards"]) == ([[None], [None]], None)


def test_the_majority_of_samples_counts(place: Path, server: JudgeServer) -> None:
    server.rule = lambda first, second: "?" if server.asked.count((first, second)) == 2 else right(first, second)
    rewards, counts = split_in(place, "samples", server.url, samples=3)
    assert rewards == [(1.0, 0.0) if n % 2 == 0 else (0.0, 1.0) for n in range(NUM)]
    assert (counts.questions, counts.unread, set(Counter(server.asked).values())) == (6 * NUM, 2 * NUM, {3})


def test_a_split_is_judged_with_its_pictures_and_a_larger_limit_goes_on(place: Path, server: JudgeServer) -> None:
    few, _ = split_in(place, "split", server.url, limit=3)
    server.plan(*[Fault()] * 4, *[Fault(status=500)] * 2)
    with pytest.raises(Unavailable):  # on the way to more, after two of them
        split_in(place, "split", server.url, retries=0, concurrency=1)
    assert parts_in(place, "split") == 5
    rewards, counts = split_in(place, "split", server.url)
    assert (rewards[:3], len(server.asked), counts.items) == (few, 2 * NUM, NUM)
    assert rewards == [(1.0, 0.0) if n % 2 == 0 else (0.0, 1.0) for n in range(NUM)]
    pictures = [part for body in server.bodies for part in body["messages"][0]["content"] if part["type"] != "text"]
    assert len(pictures) == NUM + 2  # every other Comparison has one, asked about twice; one item failed at first
    assert all(part["image_url"]["url"].startswith("data:image/") for part in pictures)
    kept = (place / "split/judge/heldout.jsonl").read_bytes()
    assert split_in(place, "split", server.url, limit=3)[0] == few
    assert split_in(place, "split", server.url) == (rewards, counts)
    assert len(server.asked) == 2 * NUM and (place / "split/judge/heldout.jsonl").read_bytes() == kept


def test_another_question_is_asked_anew(place: Path, server: JudgeServer) -> None:
    split_in(place, "anew", server.url, limit=2)
    split_in(place, "anew", server.url, limit=2, concurrency=1, retries=9)
    assert len(server.asked) == 4
    split_in(place, "anew", server.url, limit=2, model="judge-72b")
    assert len(server.asked) == 8


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"judge": {"url": "host:8000"}}, "evaluate.judge.url=host:8000 has no http://"),
        ({"judge": {"url": "http://h/v1?x=1"}}, "is no address of a server: give http"),
        ({"judge": {"url": None}}, "evaluate.judge.url is not set, and other keys"),
        ({"judge": {"model": ""}}, "evaluate.judge.model is not set"),
        ({"rewards": "/given.jsonl", "suites": [SUITE]}, "both say where rewards come from"),
        ({"diagnostics": ["noise_images"]}, "are changes for a reward model"),
    ],
)
def test_what_a_judge_cannot_do_is_refused(settings: dict[str, Any], said: str, place: Path) -> None:
    recipe = recipe_in(place, "refused", "http://127.0.0.1:1/v1", **settings)
    with pytest.raises(RecipeError, match=said):
        evaluate.run(recipe)
    with pytest.raises(RecipeError, match=said):
        check_submitted("evaluate", recipe)


def test_a_key_that_is_not_there_is_named_and_nobody_asked(place: Path, server: JudgeServer) -> None:
    with pytest.raises(MissingInput, match=r"NO_SUCH_KEY .* is not set here: .* --env NO_SUCH_KEY"):
        split_in(place, "keyless", server.url, key_variable="NO_SUCH_KEY")
    assert server.num_requests == 0


def test_a_wrong_key_ends_the_work_at_the_first_question(place: Path, server: JudgeServer) -> None:
    server.plan(Fault(status=401, body=b'{"error": {"message": "bad key"}}'))
    with pytest.raises(UserError, match="HTTP 401 bad key: set the key in the variable"):
        split_in(place, "wrong_key", server.url, concurrency=1)
    assert len(server.asked) <= 1
