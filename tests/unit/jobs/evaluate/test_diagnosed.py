"""`evaluate` with diagnostics and a suite in one process: one page, one model, the same bytes however it gets there."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from html_pages import PageReader
from local_pool import LocalPool
from mlflow import MlflowClient
from prepared_toys import ToyData, ToyRow, scene, toy_comparison, write_toy
from served_toys import write_export
from suite_toys import write_suite

from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import MissingInput
from jobs.evaluate import evaluate, probes
from jobs.evaluate.prepare import Evaluation, prepare
from jobs.evaluate.publish import read_cost
from jobs.evaluate.scoring_actors import ScoringJob
from jobs.recipe.load import load_recipe
from jobs.recipe.schema import Recipe
from jobs.tracking.tracker import Tracker
from rm_core.evaluation.names import SUITE_NAMES

SUITE = SUITE_NAMES[0]
ROWS = 70
"""Two blocks, the second one not whole."""
PROBES = ("shuffled_images", "polite_sentence")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("diagnosed")
    rows = [ToyRow(comparison=toy_comparison(n, images=n % 2, ranks=(n % 2, 1 - n % 2)), split="heldout")
            for n in range(ROWS)]  # fmt: skip
    shards = write_toy(folder / "shards", ToyData(rows=rows))
    reading = PreparedData.open(shards).manifest.reading
    write_export(folder / "train/export", "nano", 1, folder / "toy-model", reading=reading)
    root = write_suite(folder / "root", SUITE)
    for number in range(10):  # 37 rows show them
        (root / "long").mkdir(exist_ok=True)
        (root / f"long/{number}.png").write_bytes(scene(number, 56, 56))
    return folder


def recipe_in(place: Path, output: str, **settings: Any) -> Recipe:
    file = place / "r.yaml"
    file.write_text(f"run_dir: {place}\ncluster: {{num_cpus: 1}}\n")
    settings = {"output": f"{place}/{output}", "blank_images": False, "bootstrap_samples": 20, **settings}
    return load_recipe(str(file), settings={f"evaluate.{key}": value for key, value in settings.items()})


@pytest.fixture(scope="module")
def prepared(place: Path) -> Evaluation:
    return prepare(recipe_in(place, "prepared", diagnostics=["shuffled_images", "reversed_answers"]))


def probed_in(
    prepared: Evaluation, output: str, dies_at: int | None = None, limit: int | None = None
) -> tuple[dict[str, bytes], int]:
    """What probing the split leaves, and how many chunks were asked of a model."""
    folder = f"{Path(prepared.config.output).parent}/{output}"
    evaluation = replace(prepared, config=replace(prepared.config, output=folder, limit=limit))
    data, config = evaluation.data, evaluation.config
    assert data is not None
    job = ScoringJob(model=config.model, token_budget=2048, patch_budget=4096, attention="auto", data=config.data)
    whole = data.split_indices("heldout").tolist()
    with LocalPool(job, dies_at=dies_at) as pool:
        try:
            probes.probe_split(evaluation, data, pool, whole[: config.limit], whole)  # type: ignore[arg-type]
        except KeyboardInterrupt:
            assert dies_at is not None
    found = {file.name: file.read_bytes() for file in sorted(Path(folder, "diagnostics").glob("*.jsonl"))}
    return found, pool.asked


def test_a_killed_probing_goes_on_and_nobodys_neighbours_count(
    prepared: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probes, "LINES_A_PART", 64)
    whole, asked = probed_in(prepared, "whole")
    assert (set(whole), asked) == ({"shuffled_images.jsonl", "reversed_answers.jsonl"}, 4)
    killed, _ = probed_in(prepared, "killed", dies_at=2)
    assert killed == {}
    assert probed_in(prepared, "killed") == (whole, 3)  # the first part was there
    assert probed_in(prepared, "killed") == (whole, 0)
    # Fewer rows: the same pictures, though some come from rows that are not asked for.
    limited, _ = probed_in(prepared, "limited", limit=9)
    for name, text in limited.items():
        few, all_of_them = (
            [json.loads(line)["rewards"] for line in content.splitlines()] for content in (text, whole[name])
        )
        assert len(few) == 9
        for one, other in zip(few, all_of_them, strict=False):
            assert one == (None if other is None else pytest.approx(other, abs=1e-5))


def test_one_page_of_one_model_has_all_of_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "ScoringPool", LocalPool)
    monkeypatch.setattr(evaluate, "group_names", lambda _, rows: [str(row) for row in rows])  # toys have no signals
    monkeypatch.setattr(LocalPool, "loaded", 0)
    sent: list[str] = []
    log_file = Tracker.log_file
    monkeypatch.setattr(
        Tracker, "log_file", lambda self, url, path: (sent.append(Path(url).name), log_file(self, url, path))[1]
    )
    settings = {"suites": [SUITE], "suite_root": f"{place}/root", "missing_pictures": "without"}
    recipe = recipe_in(place, "all", diagnostics=list(PROBES), **settings)
    assert evaluate.run(recipe) is not None
    assert LocalPool.loaded == 1
    cost = read_cost(str(place / "all"))
    assert cost is not None and (cost.items, cost.written_tokens) == (ROWS, 0) and cost.seconds > 0
    assert sent.count("report.html") == 1 and len(set(sent)) == len(sent) - 1  # scored.parquet of split and suite
    report = json.loads((place / "all/report.json").read_text())
    assert set(report["diagnostics"]["probes"]) == set(PROBES)
    assert report["diagnostics"]["probes"]["shuffled_images"]["left_out"] == {"no_picture": 35}
    assert report["diagnostics"]["probes"]["polite_sentence"]["num_comparisons"] == ROWS
    [suite] = json.loads((place / "all/suites.json").read_text())["suites"]
    assert set(suite["diagnostics"]["probes"]) == set(PROBES)
    assert suite["diagnostics"]["probes"]["shuffled_images"]["num_comparisons"] == 37
    assert suite["diagnostics"]["probes"]["polite_sentence"]["num_changed"] == 340
    page = PageReader((place / "all/report.html").read_text())
    assert page.text.count("What the score may rest on") == 1 and "The worst failures" in page.text
    assert page.fetching == []
    files = {file.name for file in (place / "all/suites").glob("*.jsonl")}
    assert files == {f"{SUITE}.jsonl", *(f"{SUITE}.{probe}.jsonl" for probe in PROBES)}


def test_the_newest_whole_split_is_shown_in_the_run(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part first, beside a suite that fails, then all, then a part again: the run has the numbers of all."""
    monkeypatch.setattr(evaluate, "ScoringPool", LocalPool)
    monkeypatch.setattr(evaluate, "group_names", lambda _, rows: [str(row) for row in rows])
    with pytest.raises(MissingInput, match="a picture of row 0"):
        evaluate.run(recipe_in(place, "newest", limit=7, suites=[SUITE], suite_root=f"{place}/root"))
    assert json.loads((place / "newest/report.json").read_text())["num_comparisons"] == 7
    for limit in (None, 9):
        evaluate.run(recipe_in(place, "newest", limit=limit))
    report = json.loads((place / "newest/report.json").read_text())
    assert report["num_comparisons"] == 9  # the folder has the newest
    client = MlflowClient(tracking_uri=f"sqlite:///{place}/mlflow.db")
    state = json.loads((place / "newest/job_state.json").read_text())
    run = client.get_run(state["mlflow_run_id"])
    assert len(client.get_metric_history(run.info.run_id, "eval/accuracy")) == 2
    assert run.data.tags["eval.measured_on"].startswith(f"whole split heldout: {ROWS} Comparisons in {ROWS} groups, ")
    assert not [name for name in run.data.metrics if "num_" in name or name.endswith(("_low", "_high"))]
