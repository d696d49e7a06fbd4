"""Judges that reason in `evaluate` and `score`: texts are kept a part at a time, and none without a verdict is one."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from judge_toys import ENCODE, ScriptedWriter, write_judge
from local_pool import LocalPool
from prepared_toys import ToyData, ToyRow, toy_comparison, write_toy

from data_pipeline.config import MediaConfig, PreprocessConfig, SourceConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.judge_format import CLOSING, reasoned
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.sources.readers.files import split_rows
from jobs.evaluate import writing
from jobs.evaluate.score import chunks_of, score_parts
from jobs.evaluate.score_parts import PartsFolder, Tally
from jobs.evaluate.scoring_actors import ScoringJob
from jobs.evaluate.writing import job_of_writing, score_written
from jobs.recipe.schema import EvaluateConfig
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.scoring import judge
from rm_core.scoring.lines import LineReader

VERDICTS = VerdictsConfig(number=2, max_tokens=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Five pairs, one with an image; of one nothing is said that can be read (see `model`)."""
    rows = [ToyRow(comparison=toy_comparison(place, images=int(place == 2)), split="heldout") for place in range(5)]
    toy = ToyData(rows=rows, config=PreprocessConfig(encode=ENCODE))
    return PreparedData.open(write_toy(tmp_path_factory.mktemp("data") / "shards", toy))


@pytest.fixture
def model(data: PreparedData, monkeypatch: pytest.MonkeyPatch) -> str:
    """A judge that finds answers numbered 0 better, and says nothing of use about the third question."""
    beside = Path(data.folder).parent
    folder = str(beside / "judge")
    if not Path(folder).exists():
        write_judge(Path(folder), beside / "toy-model")

    def say(first: str, second: str) -> list[str]:
        better = 1 if "Answer 0" in first else 2
        return ["so it is..." if "question 3" in second else f"{reasoned('so')}{better}{CLOSING}", "1"]

    monkeypatch.setattr(judge, "_writer_of", lambda copy, *_: ScriptedWriter(load_tokenizer(copy), say))
    return folder


def pool_of(model: str, data: PreparedData | None, dies_at: int | None = None) -> LocalPool:
    folder = None if data is None else data.folder
    job = ScoringJob(model=model, token_budget=4096, patch_budget=64, attention="auto", data=folder, verdicts=VERDICTS)
    return LocalPool(job, dies_at=dies_at)


def test_a_killed_evaluation_goes_on_and_counts_what_has_no_verdict(
    data: PreparedData, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_A_PART", 2)
    config = EvaluateConfig(model=model, data=data.folder, output=str(tmp_path), verdicts=VERDICTS)
    evaluation, rows = SimpleNamespace(config=config), list(range(5))
    with pytest.raises(KeyboardInterrupt):
        score_written(evaluation, data, pool_of(model, data, dies_at=2), rows)
    again = pool_of(model, data)
    scored, cost = score_written(evaluation, data, again, rows)
    assert again.asked == 2, "one of three parts was done"
    assert [one.rewards[0] > one.rewards[1] for one in scored] == [True, True, True, False, True]
    assert scored[3].rewards == (0.0, 0.0) and scored[2].blank_rewards is not None
    assert (cost.items, cost.texts, cost.without) == (5, 20, 1)
    assert (cost.unread, cost.cut) == (12, 2), "of each question one text, of the third Comparison both"
    assert cost.tokens == 4 * 4 + 2 * 4 and cost.numbers()["verdicts_unread"] == 12 / 20
    assert cost.facts()["texts without a verdict"].startswith("12; none was taken for one; 1 Comparisons have no")
    lines = [json.loads(line) for line in (tmp_path / "verdicts" / "heldout.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == rows
    assert lines[3]["rewards"] is None and lines[3]["error"].startswith("no_verdict: answers ")
    assert lines[0]["verdicts"][0]["said"][1] is None and lines[0]["verdicts"][0]["texts"][1] == "1"
    finished = pool_of(model, data)
    assert score_written(evaluation, data, finished, rows) == (scored, cost) and finished.asked == 0


def test_lines_get_verdicts_or_say_why_not(model: str, tmp_path: Path) -> None:
    source = tmp_path / "mine.jsonl"
    records = [
        {"prompt": "What?", "responses": ["Answer 1", "Answer 0"], "reasonings": "of no shape, and not read"},
        {"prompt": "What?", "responses": ["Answer 0", "question 3"]},
    ]
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    reader = LineReader(
        SourceConfig(name="score", path=str(source)), str(tmp_path), Encoder(load_tokenizer(model), ENCODE),
        MediaConfig(), 400,
    )  # fmt: skip
    folder, pool = PartsFolder(str(tmp_path / "out.jsonl"), {}), pool_of(model, None)
    folder.open()
    parts = split_rows(str(source), 8)
    score_parts(folder, chunks_of(parts, reader), lambda given: pool.comparisons(given, num_chunks=1), lambda _: None)
    tally = folder.publish(parts)
    assert (tally.lines, tally.not_scored) == (2, {"no_verdict": 1}) and tally.unread == Tally().unread
    whole, lacking = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert whole["rewards"] == [-0.5, 0.5] and whole["verdicts_unread"] == 2
    assert lacking["rewards"] is None and lacking["verdict_tokens"] > 0, "what it cost is said all the same"


def test_other_sampling_is_another_job() -> None:
    given = CritiquesConfig()
    assert job_of_writing(given, VerdictsConfig()) == {}, "as before there were verdicts"
    assert job_of_writing(given, VERDICTS)["verdicts"]["number"] == 2
