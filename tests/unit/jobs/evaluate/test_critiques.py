"""Critics in `evaluate` and `score`: what they write is kept a part at a time, counted, and never made up."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from critic_toys import ENCODE, write_critic
from local_pool import LocalPool
from prepared_toys import ToyData, ToyRow, toy_comparison, write_toy

from data_pipeline.config import MediaConfig, PreprocessConfig, SourceConfig
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.encoding.encoder import Encoder
from data_pipeline.encoding.tokenizer import load_tokenizer
from data_pipeline.errors import RecipeError
from data_pipeline.inspection.samples import read_samples
from data_pipeline.sources.readers.files import RowRange, split_rows
from jobs.evaluate import writing
from jobs.evaluate.score import chunks_of, score_parts
from jobs.evaluate.score_parts import PartsFolder
from jobs.evaluate.scoring_actors import ScoringJob
from jobs.evaluate.writing import score_written
from jobs.pages.sample_views import sample_view
from jobs.recipe.schema import EvaluateConfig
from rm_core.generation.config import CritiquesConfig, VerdictsConfig
from rm_core.packing.plan import PackBudget
from rm_core.scoring.choose import check_writing
from rm_core.scoring.lines import LineReader
from rm_core.scoring.scorer import Scorer

WRITTEN = CritiquesConfig(source="written", number=2, max_tokens=4)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> PreparedData:
    """Seven Comparisons, one with an image, none with critiques."""
    rows = [ToyRow(comparison=toy_comparison(place, images=int(place == 2)), split="heldout") for place in range(7)]
    toy = ToyData(rows=rows, config=PreprocessConfig(encode=ENCODE))
    return PreparedData.open(write_toy(tmp_path_factory.mktemp("data") / "shards", toy))


@pytest.fixture(scope="module")
def model(data: PreparedData) -> str:
    beside = Path(data.folder).parent
    return write_critic(beside / "critic", beside / "toy-model")


def pool_of(model: str, data: PreparedData, **more: Any) -> LocalPool:
    job = ScoringJob(
        model=model, token_budget=4096, patch_budget=4096, attention="auto", data=data.folder, critiques=WRITTEN
    )
    return LocalPool(job, **more)


def test_a_killed_evaluation_goes_on_with_the_part_that_it_was_in(
    data: PreparedData, model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "ROWS_A_PART", 2)
    config = EvaluateConfig(model=model, data=data.folder, output=str(tmp_path / "a"), critiques=WRITTEN)
    rows = list(range(7))
    with pytest.raises(KeyboardInterrupt):
        score_written(SimpleNamespace(config=config), data, pool_of(model, data, dies_at=3), rows)
    again = pool_of(model, data)
    scored, cost = score_written(SimpleNamespace(config=config), data, again, rows)
    assert again.asked == 2, "two of four parts were done"
    other = replace(config, output=str(tmp_path / "b"))
    whole, _ = score_written(SimpleNamespace(config=other), data, pool_of(model, data), rows)
    assert scored == whole and [one.blank_rewards is not None for one in scored] == [place == 2 for place in rows]
    assert (cost.items, cost.texts) == (7, 28) and cost.tokens >= 28 and cost.seconds > 0
    assert cost.whole.written_tokens == cost.tokens and cost.whole.seconds > cost.seconds, "scoring takes time too"
    lines = [json.loads(line) for line in (tmp_path / "a" / "critiques" / "heldout.jsonl").read_text().splitlines()]
    assert [line["row"] for line in lines] == rows and all(len(line["critiques"]) == 2 for line in lines)
    assert sum(line["critique_tokens"] for line in lines) == cost.tokens
    asked_again = pool_of(model, data)
    assert score_written(SimpleNamespace(config=config), data, asked_again, rows)[0] == scored
    assert asked_again.asked == 0, "what is finished is not written again"


def lines_of(
    tmp_path: Path, model: str, records: list[dict[str, Any]], config: CritiquesConfig
) -> list[dict[str, Any]]:
    source = tmp_path / "mine.jsonl"
    source.write_text("".join(json.dumps(record) + "\n" for record in records))
    job = ScoringJob(model=model, token_budget=4096, patch_budget=4096, attention="auto", critiques=config)
    reader = LineReader(
        SourceConfig(name="score", path=str(source)), str(tmp_path), Encoder(load_tokenizer(model), ENCODE),
        MediaConfig(), 400, needs_critiques=config.source == "given",
    )  # fmt: skip
    folder = PartsFolder(str(tmp_path / f"{config.source}.jsonl"), {"job": config.source})
    folder.open()
    parts = [RowRange(part.start, part.count, part.offset) for part in split_rows(str(source), 8)]
    pool = LocalPool(job)
    score_parts(folder, chunks_of(parts, reader), lambda given: pool.comparisons(given, num_chunks=1), lambda _: None)
    folder.publish(parts)
    return [json.loads(line) for line in (tmp_path / f"{config.source}.jsonl").read_text().splitlines()]


def test_lines_get_the_critiques_that_were_written(model: str, tmp_path: Path) -> None:
    records = [{"prompt": "What?", "responses": ["It is so.", "No."]}]
    [line] = lines_of(tmp_path, model, records, WRITTEN)
    assert len(line["rewards"]) == 2 and [len(texts) for texts in line["critiques"]] == [2, 2]
    assert line["critique_tokens"] >= 4 and line["critique_seconds"] > 0
    [again] = lines_of(tmp_path, model, [line], WRITTEN)
    assert again["rewards"] == line["rewards"], "what an earlier run added means nothing"


def test_given_critiques_are_read_and_one_that_is_missing_is_no_reward(model: str, tmp_path: Path) -> None:
    texts = [{"text": "It is so.", "critique": "It is."}, {"text": "No.", "critique": "It is not."}]
    records = [{"prompt": "What?", "responses": texts}, {"prompt": "What?", "responses": [texts[0], {"text": "No."}]}]
    whole, lacking = lines_of(tmp_path, model, records, CritiquesConfig())
    assert lacking["rewards"] is None and lacking["error"] == "missing_critique: response 1 of 2"
    assert len(whole["rewards"]) == 2 and "critique_tokens" not in whole
    other = [{"prompt": "What?", "responses": [texts[0], {**texts[1], "critique": "So it is."}]}]
    changed = lines_of(tmp_path, model, other, CritiquesConfig())[0]["rewards"]
    assert changed[0] == pytest.approx(whole["rewards"][0], abs=1e-5) and changed[1] != whole["rewards"][1]


def test_pages_show_critiques(tmp_path: Path) -> None:
    made = toy_comparison(0)
    said = tuple(replace(one, critique=f"Said of {one.rank}." if one.rank else None) for one in made.responses)
    toy = ToyData(rows=[ToyRow(comparison=replace(made, responses=said))], config=PreprocessConfig(encode=ENCODE))
    [sample] = read_samples(PreparedData.open(write_toy(tmp_path / "shards", toy)), [0])
    assert [one.critique for one in sample.responses] == ["", "Said of 1."]
    shown = sample_view(sample).messages
    assert [block for one in shown for block in one.blocks][-1] == "\n\nCritique: Said of 1."


def test_a_model_that_is_no_critic_writes_nothing(tmp_path: Path, model: str) -> None:
    verdicts = VerdictsConfig()
    check_writing(model, WRITTEN, verdicts, name="score.model='m'", section="score")
    check_writing(str(tmp_path), CritiquesConfig(), verdicts, name="score.model='m'", section="score")
    with pytest.raises(RecipeError, match="score.model='m' is a scalar reward model, which writes no critiques"):
        check_writing(str(tmp_path), WRITTEN, verdicts, name="score.model='m'", section="score")
    assert Scorer(model, PackBudget(tokens=64, patches=0)).model.lm_head is not None
