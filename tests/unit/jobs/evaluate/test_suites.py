"""`evaluate` on suites without a cluster: what is refused before anything is scored, and rewards that are given."""

import json
from pathlib import Path
from typing import Any

import pytest
from html_pages import PageReader
from mlflow import MlflowClient
from prepared_toys import scene
from suite_toys import mm_rlhf, write_suite

from data_pipeline.errors import MissingInput, RecipeError
from jobs.evaluate import evaluate
from jobs.evaluate.suites import open_suites
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from rm_core.evaluation.names import SUITE_NAMES
from rm_core.evaluation.suites.registry import SUITES
from rm_core.scoring.scored_file import read_scored

SUITE = "mm_rlhf_rewardbench"
EVIL = '</div></section><script>alert("1")</script><img src=x onerror=alert(2)>&\'"'


def recipe_in(folder: Path, **settings: Any) -> Recipe:
    file = folder / "r.yaml"
    file.write_text(f"run_dir: {folder}/run\n")
    return load_recipe(str(file), settings={f"evaluate.{key}": value for key, value in settings.items()})


def given_in(folder: Path, name: str, better: int) -> str:
    """Rewards by which the first `better` of the rows are right, the next equal, the others without rewards."""
    lines = [{"suite": SUITE, "index": index, "rewards": [float(index < better), 0.0]} for index in range(160)]
    lines += [{"suite": SUITE, "index": index, "rewards": None, "error": "no_verdict: ?"} for index in range(160, 170)]
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(folder / name)


def test_names_of_recipes_are_those_of_the_table() -> None:
    assert tuple(SUITES) == SUITE_NAMES


def test_given_rewards_are_measured_in_place_of_a_model(tmp_path: Path) -> None:
    write_suite(tmp_path / "root", SUITE)
    settings = {"suites": [SUITE], "suite_root": str(tmp_path / "root")}
    for better in (85, 119):
        given = given_in(tmp_path, f"{better}.jsonl", better)
        assert evaluate.run(recipe_in(tmp_path, rewards=given, **settings)) is None
    output = tmp_path / "run" / "evaluate"
    (found,) = json.loads((output / "suites.json").read_text())["suites"]
    assert (found["numbers"]["acc"]["right"], found["numbers"]["acc"]["out_of"]) == (119, 170)
    assert (found["tied_pairs"], found["not_scored"]) == (41, {"no_verdict": 10})
    assert [len(one["sha256"]) for one in found["files"]] == [64]
    assert "| **r** | **100.00** | **100.00** |" in (output / "suites.md").read_text()
    assert "10 of 170 rows have no rewards and count as wrong" in (output / "suites.html").read_text()
    assert not (output / "report.html").exists()
    rows = read_scored(str(output / "suites" / SUITE / "scored.parquet"))
    assert (len(rows), rows[0].id, rows[0].source) == (160, "0 mcq-0", f"{SUITE}/mcq")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path}/run/mlflow.db")
    run = client.get_run(json.loads((output / "job_state.json").read_text())["mlflow_run_id"])
    assert run.data.metrics[f"suite/{SUITE}/acc"] == 0.7  # of the newest, 119 of 170
    assert [one.value for one in client.get_metric_history(run.info.run_id, f"suite/{SUITE}/acc")] == [0.5, 0.7]
    assert run.data.tags[f"suite.{SUITE}"] == "acc 0.700 on 170 rows, 10 without rewards, which are wrong"
    assert "MM-RLHF-RewardBench" in run.data.tags["mlflow.note.content"]


def test_the_worst_failures_are_shown_with_pictures_and_not_believed(tmp_path: Path) -> None:
    records = mm_rlhf()
    records[0] |= {"prompt": EVIL, "chosen": f"{EVIL} {'long ' * 900}", "rejected": EVIL[::-1]}
    root = write_suite(tmp_path / "root", SUITE, records)
    (root / "mcq").mkdir()
    (root / "mcq/0.png").write_bytes(scene(1, 56, 56))
    (root / "mcq/1.png").write_bytes(b"<html>404</html>")
    wrong = {index: [0.0, 1.0 + (170 - index) / 100] for index in range(60)}  # 20 groups of pictures
    lines = [{"suite": SUITE, "index": index, "rewards": wrong.get(index, [1.0, 0.0])} for index in range(170)]
    (tmp_path / "given.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    settings = {"suites": [SUITE], "suite_root": str(tmp_path / "root"), "bootstrap_samples": 20}
    evaluate.run(recipe_in(tmp_path, rewards=str(tmp_path / "given.jsonl"), **settings))
    page = PageReader((tmp_path / "run/evaluate/suites.html").read_text())
    text = "".join(page.text)
    assert "12 Comparisons with the largest margin against the label, one of each group" in text
    assert (page.tags.count("img"), text.count("image, left out: it can't be read")) == (1, 11)
    assert page.tags.count("script") == 0 and page.handlers == [] and page.fetching == []
    assert text.count(EVIL) == 2 and "more characters)" in text
    assert "margin -2.70" in text and "margin -2.27" in text and "margin -2.26" not in text
    assert "43 long-1" in text and "reward +2.70" in text and "8 characters" in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"suites": [SUITE]}, "nothing says where it is: set evaluate.suite_root"),
        ({"suites": [SUITE], "suite_media": {"rm_bench": "x"}}, "evaluate.suite_media.rm_bench is for a suite"),
        ({"suite_folders": {SUITE: "x"}}, "not asked for: evaluate.suites has none"),
    ],
)
def test_suites_without_a_place_are_refused(settings: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=said):
        open_suites(recipe_in(tmp_path, **settings).evaluate)


def test_an_unknown_suite_is_no_recipe(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="must be one of mm_rlhf_rewardbench, vl_rewardbench"):
        recipe_in(tmp_path, suites=["rewardbench_2"])


def test_a_suites_own_folder_wins(tmp_path: Path) -> None:
    folder = write_suite(tmp_path / "elsewhere", SUITE)
    config = recipe_in(tmp_path, suites=[SUITE, SUITE], suite_root="x", suite_folders={SUITE: str(folder)}).evaluate
    (data,) = open_suites(config)
    assert (data.folder, data.media_root, len(data.items)) == (str(folder), str(folder), 170)


@pytest.mark.parametrize("settings", [{"split": None}, {"rewards": "given.jsonl"}])
def test_an_evaluation_of_nothing_is_refused(settings: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="nothing is evaluated"):
        evaluate.run(recipe_in(tmp_path, **settings))


def test_rewards_that_are_not_there_are_named(tmp_path: Path) -> None:
    write_suite(tmp_path / "root", SUITE)
    recipe = recipe_in(tmp_path, suites=[SUITE], suite_root=str(tmp_path / "root"), rewards="nowhere.jsonl")
    with pytest.raises(MissingInput, match=r"nowhere\.jsonl.* is not there"):
        evaluate.run(recipe)
