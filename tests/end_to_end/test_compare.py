"""`basereward compare` and the report of a sweep, on a real MLflow store and on folders."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sweep_folders import rewards_of, sizes, trial_point, write_sweep

from jobs.cli.main import main
from jobs.recipe.schema import TrackingConfig
from jobs.sweep.report import write_sweep_report
from jobs.tracking.tracker import Tracker
from rm_core.scoring.scored_file import write_scored

GOOD, BAD = (trial_point(name, {}, accuracy=accuracy) for name, accuracy in (("good", 0.8), ("bad", 0.7)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, dict[str, str]]:
    """A store with runs ``good``, ``bad``, ``short`` (half of the Comparisons), ``empty`` and two called ``twin``."""
    folder = tmp_path_factory.mktemp("store")
    uri, ids = f"sqlite:///{folder}/mlflow.db", {}
    whole = {"good": rewards_of(GOOD), "bad": rewards_of(BAD), "short": rewards_of(BAD)[:200], "twin": rewards_of(BAD)}
    for index, name in enumerate(["good", "bad", "short", "empty", "twin", "twin"]):
        tracker = Tracker(TrackingConfig(uri=uri), run_dir=str(folder / f"{name}{index}"), run_name=name)
        if name in whole:
            write_scored(str(folder / f"{name}{index}" / "scored.parquet"), whole[name])
            tracker.log_file(folder / f"{name}{index}" / "scored.parquet", "evaluation")
        ids[name] = tracker.run_id
    return uri, ids


def compare(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["compare", *words])
    told = capsys.readouterr()
    return code, told.out + told.err


def test_two_runs_by_name_and_by_the_beginning_of_an_id(
    store: tuple[str, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, ids = store
    page = tmp_path / "compare.html"
    code, told = compare(capsys, "bad", ids["good"][:12], f"tracking.uri={uri}", f"output={page}")
    assert code == 0 and "B is better by 0.100 (0.0" in told and "captions: B is better by" in told
    assert f"B: good ({ids['good'][:8]})" in told
    assert "B is better by 0.100" in page.read_text(encoding="utf-8")
    code, told = compare(capsys, ids["bad"], "good", f"tracking.uri={uri}", "items=2", "--json")
    found = json.loads(told)
    assert code == 0 and found["difference"] == pytest.approx(0.1) and found["is_clear"] is True
    assert len(found["b_right_a_wrong"]) == 2 and found["by_modality"]["image"]["num_comparisons"] == 200


def test_a_benchmark_is_compared_by_its_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, point in (("a", BAD), ("b", GOOD)):
        write_scored(str(tmp_path / name / "evaluate/suites/rm_bench/scored.parquet"), rewards_of(point))
    folders = (str(tmp_path / "a"), str(tmp_path / "b"), f"output={tmp_path / 'c.html'}")
    code, told = compare(capsys, *folders, "suite=rm_bench")
    assert code == 0 and "B is better by 0.100" in told
    code, told = compare(capsys, *folders, "suite=rewardbench")
    assert code == 2 and "`basereward evaluate` with evaluate.suites=[rewardbench] writes it" in " ".join(told.split())
    code, told = compare(capsys, *folders, "suite=rm_bank")
    assert code == 2 and "suite=rm_bank is no published benchmark" in told


def test_folders_need_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_scored(str(tmp_path / "a" / "evaluate" / "scored.parquet"), rewards_of(BAD))
    write_scored(str(tmp_path / "b" / "scored.parquet"), rewards_of(BAD))
    code, told = compare(capsys, str(tmp_path / "a"), str(tmp_path / "b"), f"output={tmp_path / 'c.html'}")
    assert code == 0 and "no difference seen: none of the 400 Comparisons is ranked better by one" in told


def test_questions_about_one_picture_are_one_group(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By Comparison B would be clearly better; by picture it is not. Both stand beside what length alone reaches."""
    for name, point in (("a", BAD), ("b", GOOD)):
        grouped = [replace(one, group=f"image:{int(one.id) // 80}") for one in rewards_of(point)]
        write_scored(str(tmp_path / name / "scored.parquet"), grouped)
    words, page = (str(tmp_path / "a"), str(tmp_path / "b")), tmp_path / "c.html"
    code, told = compare(capsys, *words, f"output={page}", "--json")
    found = json.loads(told)
    assert (code, found["num_comparisons"], found["num_groups"]) == (0, 400, 5)
    assert found["p_value"] == pytest.approx(2 / 2**5) and found["is_clear"] is False
    assert found["a_over_length"]["value"] == pytest.approx(0.7 - found["length_only"])
    code, told = compare(capsys, *words, f"output={page}")
    assert code == 0 and "no difference seen" in told and "longer answer wins" in told
    assert "400 Comparisons in 5 groups" in page.read_text(encoding="utf-8")


def test_rewards_of_an_earlier_version_are_refused_with_the_cure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scored(str(tmp_path / "a" / "scored.parquet"), rewards_of(BAD))
    write_scored(str(tmp_path / "b" / "scored.parquet"), [replace(one, group=None) for one in rewards_of(GOOD)])
    code, told = compare(capsys, str(tmp_path / "a"), str(tmp_path / "b"))
    assert code == 2 and "has no group" in told and "run `basereward evaluate` again" in told


def test_different_comparisons_are_refused_and_common_ones_offered(
    store: tuple[str, dict[str, str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri, _ = store
    words = ("bad", "short", f"tracking.uri={uri}", f"output={tmp_path / 'c.html'}")
    code, told = compare(capsys, *words)
    assert code == 2 and "200 in both, 200 only in A, 0 only in B" in told and "--common" in told
    code, told = compare(capsys, *words, "--common")
    assert code == 0 and "200 Comparisons of A alone and 0 of B alone are left out" in told
    assert "no difference seen" in told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["twin", "good"], "'twin' is said of 2 runs"),
        (["nobody", "good"], "no run of sqlite:///.* has such a name"),
        (["empty", "good"], r"run empty \(.*\) has no evaluation/scored\.parquet: `basereward evaluate`"),
        (["it's", "good"], "no run of"),
        (["good"], "compare needs RUN and RUN, got 'good'"),
        (["good", "bad", "confidence=100"], "confidence=100 must be above 0 and below 100: in percent"),
        (["good", "bad", "recipe=demo"], "both name an MLflow store"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(
    words: list[str], message: str, store: tuple[str, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    import re

    code, told = compare(capsys, *words, f"tracking.uri={store[0]}")
    assert code == 2 and re.search(message, told) and told.count("\n") == 1


def test_a_run_without_a_store_and_a_folder_without_rewards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, told = compare(capsys, "good", "bad")
    assert code == 2 and "recipe=demo or tracking.uri=" in told
    code, told = compare(capsys, str(tmp_path), "bad")
    assert code == 2 and "holds no scored.parquet" in told


def test_the_report_of_a_sweep_is_in_its_run(tmp_path: Path) -> None:
    folder = write_sweep(tmp_path / "sweep", sizes(("tiny", "small")), report="study")
    tracker = Tracker(TrackingConfig(uri=f"sqlite:///{tmp_path}/m.db"), run_dir=str(tmp_path / "sweep"), run_name="s")
    tracker.describe("A sweep.")
    write_sweep_report(folder, tracker)
    client = MlflowClient(tracker.uri)
    names = {entry.path for entry in client.list_artifacts(tracker.run_id, "report")}
    assert names == {f"report/{path.name}" for path in (tmp_path / "sweep" / "report").iterdir()}
    told = client.get_run(tracker.run_id).data.tags["mlflow.note.content"]
    assert told.startswith("A sweep.\n\n## Results of the sweep\n\nsmall has the best accuracy: ")
    assert "| small | " in told
