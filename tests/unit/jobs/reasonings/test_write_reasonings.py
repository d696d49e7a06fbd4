"""`write-reasonings` against a real server: each pair once, whatever happens, and nothing that nobody wrote."""

import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judge_server import Fault, JudgeServer
from prepared_toys import scene

from data_pipeline.config import EncodeConfig, PreprocessConfig, SourceConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.tokenizer import train_tokenizer
from data_pipeline.errors import MissingInput, RecipeError, Unavailable
from data_pipeline.pipeline import prepare
from jobs.reasonings import write_reasonings
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.submit.checks import check_submitted
from rm_core.evaluation.judge import endpoint as endpoint_module

NUM = 8
KEY = "sk-a-secret-of-a-writer"


def knows(first: str, _second: str) -> str:
    """What a model that knows says."""
    right = 1 if first.startswith("Right") else 2
    return f"Answer {right} says what is asked.\n<answer>{right}</answer>"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source of pairs, half of them with a picture, and of three ranked answers, two of them tied."""
    folder = tmp_path_factory.mktemp("reasonings")
    records: list[dict[str, Any]] = [
        {"id": f"p{n}", "prompt": f"Question {n}?", "chosen": f"Right so {n}.", "rejected": f"Wrong so {n}."}
        for n in range(NUM - 1)
    ]
    for n in range(0, NUM - 1, 2):
        records[n]["image"] = f"{n}.png"
        (folder / f"{n}.png").write_bytes(scene(n))
    ranked = [{"text": text, "rank": rank} for text, rank in (("Right so.", 0), ("Wrong, a.", 1), ("Wrong, b.", 1))]
    records.append({"id": "three", "prompt": "Question?", "responses": ranked})
    (folder / "mine.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[JudgeServer]:
    monkeypatch.setattr(endpoint_module, "_FIRST_PAUSE_S", 0.001)
    with JudgeServer(knows) as found:
        yield found


def recipe_in(place: Path, output: str, url: str | None, **judge: Any) -> Recipe:
    file = place / "r.yaml"
    file.write_text(
        f"run_dir: {place}\ndata_root: {place}\npreprocess:\n  sources:\n    - {{name: mine, path: mine.jsonl}}\n"
    )
    settings = {f"reasonings.judge.{name}": value for name, value in {"url": url, "model": "m", **judge}.items()}
    return load_recipe(str(file), settings={"reasonings.output": f"{place}/{output}", **settings})


def written(place: Path, output: str, url: str, **judge: Any) -> list[dict[str, Any]]:
    write_reasonings.run(recipe_in(place, output, url, **judge))
    return [json.loads(line) for line in (place / output / "mine.jsonl").read_text().splitlines()]


def test_what_comes_out_is_data_that_preprocessing_reads(
    place: Path, server: JudgeServer, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WRITER_KEY", KEY)
    lines = written(place, "all", server.url, key_variable="WRITER_KEY")
    assert Counter(server.asked).most_common(1)[0][1] == 1 and len(server.asked) == NUM - 1 + 2
    assert [len(line["reasonings"]) for line in lines] == [1] * (NUM - 1) + [2]
    for line in lines:
        by = line["reasonings_by"]
        assert (by["agreed"], by["tokens_read"], by["tokens_written"]) == (n := len(line["reasonings"]), 100 * n, 7 * n)
        for one in line["reasonings"]:
            better = 1 if one["first"] == 0 else 2
            assert one["text"] == f"Answer {better} says what is asked.", "without its verdict"
    shown = capsys.readouterr().out
    assert f"{100 * (NUM + 1):,} read, {7 * (NUM + 1)} written" in shown and "path: " in shown
    everything = "".join(file.read_text("latin-1") for file in (place / "all").rglob("*") if file.is_file())
    assert KEY not in everything and server.authorizations == {f"Bearer {KEY}"}
    train_tokenizer(["Question? Right so. Wrong so."], 300, str(place / "model"))
    config = PreprocessConfig(
        tokenizer=str(place / "model"), output=str(place / "shards"), data_root=str(place),
        encode=EncodeConfig(reasonings="given"),
        sources=[SourceConfig(name="mine", path="all/mine.jsonl", media_root="")],
    )  # fmt: skip
    prepare(config)
    data = PreparedData.open(str(place / "shards"))
    counts = data.manifest.counts
    assert (counts.kept, counts.refused_by_reason, counts.by_source["mine"].unread) == (NUM, {}, {})
    assert [len(data.encoded(row).reasonings) for row in range(NUM)] == [1] * (NUM - 1) + [2]
    assert sum(len(data.encoded(row).images) for row in range(NUM)) == NUM // 2


def test_orders_are_drawn_and_balanced_or_both(place: Path, server: JudgeServer) -> None:
    many = place / "many"
    many.mkdir()
    records = [{"id": str(n), "prompt": "Q?", "chosen": f"Right {n}", "rejected": f"Wrong {n}"} for n in range(60)]
    (many / "mine.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = written(many, "one", server.url)
    assert 18 <= sum(line["reasonings"][0]["first"] == 0 for line in lines) <= 42
    assert written(place, "both", server.url, both_orders=True)[0]["reasonings"] == [
        {"first": 0, "second": 1, "text": "Answer 1 says what is asked."},
        {"first": 1, "second": 0, "text": "Answer 2 says what is asked."},
    ]


@pytest.mark.parametrize(
    ("says", "kind"),
    [
        ("Answer 1 is better. <answer>1</answer> <answer>2</answer>", "unread"),
        ("Both are fine.", "unread"),
        ("{}", "unread"),
        ("<answer>{}</answer>", "unread"),
        ("<think>It is {}", "unread"),
        ("I <think> so. <answer>{}</answer>", "unread"),
        ("The other one. <answer>{other}</answer>", "disagreed"),
    ],
)
def test_nonsense_and_other_opinions_are_counted_and_never_taken(
    place: Path, server: JudgeServer, says: str, kind: str
) -> None:
    def rule(first: str, _: str) -> str:
        right = 1 if first.startswith("Right") else 2
        return says.format(right, other=3 - right)

    server.rule = rule
    lines = written(place, f"{kind}-{abs(hash(says))}", server.url, samples=2)
    for line in lines:
        asked = 4 if line["id"] == "three" else 2
        assert line["reasonings"] == [] and line["reasonings_by"]["agreed"] == 0
        assert line["reasonings_by"][kind] == asked
        assert line["reasonings_by"]["error"].startswith("no_reasoning: no text about answers 0 and 1 agrees")
        assert line["reasonings_by"]["tokens_written"] == 7 * asked, "what it cost counts all the same"


def test_the_first_text_that_agrees_is_taken(place: Path, server: JudgeServer) -> None:
    number = iter(range(1000))

    def rule(first: str, second: str) -> str:
        return "No. <answer>3</answer>" if next(number) % 3 else f"<think>Hm.</think>{knows(first, second)}"

    server.rule = rule
    lines = written(place, "several", server.url, samples=3, concurrency=1)
    assert [len(line["reasonings"]) for line in lines] == [1] * (NUM - 1) + [2]
    assert {line["reasonings"][0]["text"][:9] for line in lines} == {"Answer 1 ", "Answer 2 "}, "thoughts are left out"


def test_a_killed_command_goes_on_and_asks_nothing_twice(place: Path, server: JudgeServer) -> None:
    whole = written(place, "whole", server.url)
    asked = Counter(server.asked)
    server.asked.clear()

    def interrupts(first: str, second: str) -> str:
        if "4" in first:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.3)  # its answer comes too late
        return knows(first, second)

    server.rule = interrupts
    with pytest.raises(KeyboardInterrupt):
        written(place, "killed", server.url, concurrency=1)
    assert len(list((place / "killed").glob("mine.jsonl.parts/*.part"))) == 4
    server.rule = knows
    assert written(place, "killed", server.url) == whole
    twice = Counter(server.asked) - asked
    assert len(twice) <= 1 and all("4" in first for first, _ in twice), "what was under way, and no more"
    requests = server.num_requests
    assert written(place, "killed", server.url) == whole and server.num_requests == requests


def test_faults_are_counted_and_bounded(place: Path, server: JudgeServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.plan(
        Fault(status=429, headers={"Retry-After": "0"}), Fault(cut_after=20), Fault(body=b"so"), Fault(delay_s=0.6)
    )
    lines = written(place, "faults", server.url, concurrency=1, timeout_s=0.3)
    assert [len(line["reasonings"]) for line in lines] == [1] * (NUM - 1) + [2]
    shown = capsys.readouterr().out
    for kind in ("http_429", "cut", "nonsense", "timeout"):
        assert f"tries without an answer: {kind}" in shown
    server.plan(Fault(), *[Fault(status=503)] * 2)
    with pytest.raises(Unavailable, match=r"'p1': http_503.*tried 2 times.*see reasonings\.judge\.unanswered"):
        written(place, "down", server.url, concurrency=1, retries=1)
    server.plan(Fault(), *[Fault(status=503)] * 2)
    left = written(place, "left", server.url, concurrency=1, retries=1, unanswered="leave")
    lacking = [line["id"] for line in left if not line["reasonings"]]
    assert len(lacking) == 1 and left[int(lacking[0][1:])]["reasonings_by"]["error"].startswith("unanswered: http_503")


def test_what_can_not_be_asked_about_is_not(place: Path, server: JudgeServer) -> None:
    bad = place / "bad"
    bad.mkdir()
    records = [
        {"id": "1", "prompt": "Q?", "chosen": "Right", "rejected": "Right"},
        {"id": "2", "prompt": "Q?", "chosen": "Right", "rejected": "Wrong", "image": "gone.png"},
        {"id": "3", "prompt": "Q?", "chosen": "Right"},
        {"id": "4", "prompt": "Q?", "chosen": "Right", "rejected": "Wrong",
         "reasonings": [{"first": 1, "second": 0, "text": "Given."}]},
    ]  # fmt: skip
    (bad / "mine.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    lines = written(bad, "out", server.url)
    assert server.asked == []
    assert [line["id"] for line in lines] == ["1", "2", "4"], "a record that is none is left out"
    errors = [line["reasonings_by"].get("error", "").partition(":")[0] for line in lines]
    assert errors == ["identical_responses", "missing_media", ""]
    assert lines[2]["reasonings"] == [{"first": 1, "second": 0, "text": "Given."}]


def test_what_could_not_run_is_refused(place: Path, server: JudgeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match=r"reasonings\.judge\.url is not set"):
        written(place, "x", None)  # type: ignore[arg-type]
    with pytest.raises(MissingInput, match=r"NO_KEY \(reasonings\.judge\.key_variable\) is not set"):
        written(place, "x", server.url, key_variable="NO_KEY")
    recipe = recipe_in(place, "x", server.url)
    recipe.reasonings.sources = ["others"]
    with pytest.raises(RecipeError, match="names 'others', which is no source"):
        write_reasonings.run(recipe)
    submitted = recipe_in(place, "x", server.url, template="{prompt}")
    with pytest.raises(RecipeError, match=r"reasonings\.judge\.template has \{first\} 0 times"):
        check_submitted("write-reasonings", submitted)
