"""MLflow on a real SQLite store: one run over restarts, no point twice, everything where the UI looks for it."""

import json
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture

from data_pipeline import storage
from data_pipeline.errors import MissingInput
from jobs.recipe.schema import Recipe, TrackingConfig
from jobs.runtime.termination import Terminated
from jobs.tracking import runs
from jobs.tracking.address import absolute_uri, check_tracking
from jobs.tracking.metric_logger import MetricLogger, folder_of_node, send_all_waiting
from jobs.tracking.node_metrics import NodeMeter, node_section, sampled
from jobs.tracking.run_writer import SECONDS_TAG
from jobs.tracking.store import read_runs
from jobs.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "below" / "mlflow.db"


def make(store: Path, run_dir: Path) -> Tracker:
    return Tracker(TrackingConfig(uri=f"sqlite:///{store}"), run_dir=str(run_dir), run_name="mine")


def test_one_run_over_restarts(store: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    first = make(store, tmp_path)
    first.log_params({"train.seed": "0", "long": "x" * 7000} | {f"many.{i}": str(i) for i in range(250)})
    first.finish("FAILED", "RunError: no room")
    assert MlflowClient(first.uri).get_run(first.run_id).data.tags["ended"] == "RunError: no room"
    second = make(store, tmp_path)
    second.log_params({"train.seed": "1", "many.3": "3", "new": "n"})
    second.set_tags({"recipe": "demo"})
    run = MlflowClient(second.uri).get_run(first.run_id)
    assert (first.resumed, second.resumed, second.run_id) == (False, True, first.run_id)
    assert run.info.status == "RUNNING"
    assert len(run.data.params) == 253
    assert run.data.params["train.seed"] == "0"
    assert len(run.data.params["long"]) == 6000
    assert {k: v for k, v in run.data.tags.items() if not k.startswith("mlflow.")} == {
        "recipe": "demo",
        "resumed.train.seed": "1",
    }
    out = capfd.readouterr()
    assert "alembic" not in out.out + out.err


def test_no_point_twice_after_a_restart(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    with MetricLogger(tracker.uri, tracker.run_id) as logger:
        for step in range(1, 8):
            logger.log(step, {"train/loss": 1 / step})
        logger.log(5, {"eval/accuracy": 0.5})
    with MetricLogger(tracker.uri, tracker.run_id) as logger:  # from the checkpoint of step 4
        for step in range(5, 11):
            logger.log(step, {"train/loss": 1 / step})
        logger.log(10, {"eval/accuracy": 0.75})
    with MetricLogger(tracker.uri, tracker.run_id, last_step=12) as logger:
        logger.log(12, {"train/loss": 9.0})
    client = MlflowClient(tracker.uri)
    history = client.get_metric_history(tracker.run_id, "train/loss")
    assert [(point.step, point.value) for point in history] == [(step, 1 / step) for step in range(1, 11)]
    assert [point.step for point in client.get_metric_history(tracker.run_id, "eval/accuracy")] == [5, 10]


def test_more_points_than_a_batch_holds(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    with MetricLogger(tracker.uri, tracker.run_id, interval_s=3600) as logger:
        logger.log(1, {f"system/m{i}": float(i) for i in range(1205)})
    assert len(MlflowClient(tracker.uri).get_run(tracker.run_id).data.metrics) == 1205


def test_metric_without_group_is_refused(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    with pytest.raises(ValueError, match="train/loss"):
        tracker.log_metrics({"loss": 1.0})


def test_dataset_model_and_artifacts(store: Path, tmp_path: Path) -> None:
    model = tmp_path / "export"
    model.mkdir()
    (model / "config.json").write_text("{}")
    tracker = make(store, tmp_path)
    tracker.log_dataset(name="demo", fingerprint="a" * 64, source="shards", profile={"kept": 3}, context="training")
    tracker.log_text("name: demo", "config/recipe.yaml")
    tracker.log_file(model / "config.json", "report")
    tracker.log_file(model, "folder")
    model_id = tracker.log_model(model, name="reward-model", step=7)
    assert make(store, tmp_path).log_model(model, name="reward-model", step=7) == model_id
    tracker.finish()
    client = MlflowClient(tracker.uri)
    run = client.get_run(tracker.run_id)
    assert run.info.status == "FINISHED"
    assert [(entry.dataset.name, entry.dataset.digest) for entry in run.inputs.dataset_inputs] == [("demo", "a" * 36)]
    assert [(output.model_id, output.step) for output in run.outputs.model_outputs] == [(model_id, 7)]
    assert {entry.path for entry in client.list_artifacts(tracker.run_id)} == {"config", "folder", "report"}
    assert list((store.parent / "mlartifacts").rglob("models/*/artifacts/config.json"))


def test_a_text_is_logged_once(store: Path, tmp_path: Path) -> None:
    made: list[str] = []

    def text() -> str:
        made.append("page")
        return f"<p>{len(made)}</p>"

    for _ in range(2):  # a restart takes up the run
        tracker = make(store, tmp_path)
        tracker.log_text_once("data/data.html", text)
        tracker.log_text_once("top.html", text)
    assert len(made) == 2
    client = MlflowClient(tracker.uri)
    assert [entry.path for entry in client.list_artifacts(tracker.run_id, "data")] == ["data/data.html"]
    file = client.download_artifacts(tracker.run_id, "data/data.html", str(tmp_path))
    assert Path(file).read_text() == "<p>1</p>"


def test_a_second_evaluation_is_the_one_that_is_shown(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    for numbers in (
        {"accuracy": 0.6},
        {"accuracy": 0.6},
        {"accuracy": 0.9, "source/a/accuracy": 0.8, "accuracy_low": 0.7, "over_length_high": 0.2, "num_pairs": 9.0},
        {"accuracy": 0.5},
    ):
        tracker.log_evaluation(numbers)
        assert tracker.metrics()["eval/accuracy"] == numbers["accuracy"]
    assert tracker.points("eval/accuracy") == [(0, 0.6), (1, 0.9), (2, 0.5)]
    assert tracker.points("eval/by_source/a") == [(1, 0.8)]
    tracker.log_evaluation({"accuracy": 0.7}, "eval_train")
    assert tracker.metrics() == {"eval/accuracy": 0.5, "eval/by_source/a": 0.8, "eval_train/accuracy": 0.7}


def test_who_adds_to_a_run_leaves_its_end_as_it_is(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    tracker.finish("KILLED", "SIGTERM")
    before = MlflowClient(tracker.uri).get_run(tracker.run_id).info
    config = TrackingConfig(uri=f"sqlite:///{store}")
    adding = Tracker(config, run_dir=str(tmp_path), run_name="of it", adds=True)
    adding.log_evaluation({"accuracy": 0.6})
    adding.end_by(KeyError("x"))
    adding.finish()
    run = MlflowClient(tracker.uri).get_run(tracker.run_id)
    assert (run.info.status, run.info.end_time, run.data.tags["ended"]) == ("KILLED", before.end_time, "SIGTERM")
    assert run.data.metrics == {"eval/accuracy": 0.6}


@pytest.mark.parametrize(
    ("error", "status", "ended"),
    [(KeyError("x"), "FAILED", "KeyError: 'x'"), (Terminated("SIGTERM: asked"), "KILLED", "SIGTERM: asked")],
)
def test_an_error_ends_the_run(store: Path, tmp_path: Path, error: BaseException, status: str, ended: str) -> None:
    tracker = make(store, tmp_path)
    with pytest.raises(type(error)), tracker.ended_by_errors():
        raise error
    run = MlflowClient(tracker.uri).get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["ended"]) == (status, ended)


def test_the_time_of_a_training_is_that_of_its_attempts(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    tracker.set_tags({SECONDS_TAG: "5400"})
    assert read_runs(TrackingConfig(uri=f"sqlite:///{store}"), 1)[0].seconds < 60, "it runs"
    tracker.finish()
    assert read_runs(TrackingConfig(uri=f"sqlite:///{store}"), 1)[0].seconds == 5400


def test_run_that_the_store_does_not_have(store: Path, tmp_path: Path) -> None:
    (tmp_path / "job_state.json").write_text(json.dumps({"mlflow_run_id": "0" * 32}))
    with pytest.raises(MissingInput, match="job_state.json names MLflow run 0000"):
        make(store, tmp_path)


def test_what_was_deleted_is_refused_by_name_with_the_way_back(store: Path, tmp_path: Path) -> None:
    config = TrackingConfig(uri=f"sqlite:///{store}", experiment="gone")
    tracker = Tracker(config, run_dir=str(tmp_path), run_name="mine")
    client = MlflowClient(tracking_uri=tracker.uri)
    client.delete_run(tracker.run_id)
    with pytest.raises(MissingInput, match=f"was deleted .* mlflow runs restore --run-id {tracker.run_id}"):
        Tracker(config, run_dir=str(tmp_path), run_name="mine")
    experiment = client.get_experiment_by_name("gone").experiment_id
    client.delete_experiment(experiment)
    for check in (check_tracking, lambda config: Tracker(config, run_dir=str(tmp_path), run_name="mine")):
        with pytest.raises(MissingInput, match=f"'gone' was deleted.*restore --experiment-id {experiment}"):
            check(config)


def test_sqlite_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_uri("sqlite:///runs/mlflow.db") == f"sqlite:///{tmp_path}/runs/mlflow.db"
    assert (tmp_path / "runs").is_dir()
    assert absolute_uri("http://host:5000") == "http://host:5000"


def test_parts_of_a_description_are_written_apart(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    for text, heading in [("One", ""), ("| a |", "Held-out"), ("x", "Other"), ("| b |", "Held-out"), ("Two", "")]:
        tracker.describe(text, heading)
    note = MlflowClient(tracker.uri).get_run(tracker.run_id).data.tags["mlflow.note.content"]
    assert note == "Two\n\n## Held-out\n\n| b |\n\n## Other\n\nx"


def test_runs_of_an_experiment_with_states_and_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = tmp_path / "m.db"
    config = TrackingConfig(uri=f"sqlite:///{store}")
    with pytest.raises(MissingInput, match="nothing has been trained yet"):
        read_runs(config, 10)
    trackers = [make(store, tmp_path / name) for name in ("a", "b", "c")]
    trackers[0].log_metrics({"train/progress": 0.5, "train/loss": 0.25}, step=3)
    trackers[0].finish("KILLED", "SIGTERM")
    trackers[1].finish()
    rows = read_runs(config, 10)
    assert [(row.run_id, row.state, row.reason) for row in rows] == [
        (trackers[2].run_id, "running", ""),
        (trackers[1].run_id, "finished", ""),
        (trackers[0].run_id, "killed", "SIGTERM"),
    ]
    assert rows[2].metrics == {"train/progress": 0.5, "train/loss": 0.25}
    assert all(row.seconds >= 0 for row in rows)
    assert [row.run_id for row in read_runs(config, 1)] == [trackers[2].run_id]
    runs.run(Recipe(name="mine", tracking=config))
    printed = capsys.readouterr().out
    assert "50%" in printed and "0.2500" in printed
    assert f"mine ({trackers[0].run_id[:8]}) killed: SIGTERM" in printed


def test_how_busy_a_node_is_goes_to_the_page_of_system_metrics(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    section = node_section("10.0.0.7")
    for began_s in (tracker.began_s - 5000, tracker.began_s):  # the second is a restart whose clock is behind
        with (
            MetricLogger(tracker.uri, tracker.run_id) as logger,
            sampled(logger, NodeMeter(str(tmp_path)), section, began_s=began_s, interval_s=0.05),
        ):
            time.sleep(0.4)
    names = {"cpu_percent", "memory_percent", "memory_used_gb", "disk_percent", "disk_read_mb_per_s"}
    names |= {"disk_written_mb_per_s", "network_received_mb_per_s", "network_sent_mb_per_s"}
    found = {name.removeprefix(f"{section}/"): value for name, value in tracker.metrics().items()}
    assert names <= found.keys() and all(key in names or key.startswith("gpu_") for key in found)
    assert 0 < found["memory_percent"] < 100 and found["memory_used_gb"] > 0
    steps = [step for step, _ in tracker.points(f"{section}/cpu_percent")]
    assert steps == sorted(set(steps)) and 5000 <= steps[0] < 6000
    with (
        MetricLogger(tracker.uri, tracker.run_id) as logger,
        sampled(logger, NodeMeter(), "system/node_off", began_s=0, interval_s=0),
    ):
        time.sleep(0.1)
    assert not any("node_off" in name for name in tracker.metrics())


def test_points_of_every_node_that_wait_are_sent_at_the_end(store: Path, tmp_path: Path) -> None:
    tracker = make(store, tmp_path)
    away = "http://127.0.0.1:9"  # nobody listens there
    for address, name in (("10.0.0.7", "system/node_10.0.0.7/cpu_percent"), ("fd00::8", "system/node_fd00--8/x")):
        folder = folder_of_node(str(tmp_path / "out"), address)
        with MetricLogger(away, tracker.run_id, folder=folder, patience_s=0.1) as logger:
            logger.log(3, {name: 50.0})
    send_all_waiting(tracker.uri, tracker.run_id, str(tmp_path / "out"), 10, print)
    assert tracker.metrics() == {"system/node_10.0.0.7/cpu_percent": 50.0, "system/node_fd00--8/x": 50.0}


def test_a_file_in_an_object_store_is_logged_and_an_addition_leaves_the_state(
    store: Path,
    tmp_path: Path,
    s3_server: S3Server,  # noqa: F811
) -> None:
    run_dir = f"s3://{s3_server.bucket}/tracked"
    config = TrackingConfig(uri=f"sqlite:///{store}")
    training = Tracker(config, run_dir=run_dir, run_name="mine")
    training.finish("FAILED", "RunError: no room")
    storage.write_atomic(f"{run_dir}/evaluate/report.json", b"{}")
    added = Tracker(config, run_dir=run_dir, run_name="mine", adds=True)
    added.log_file(f"{run_dir}/evaluate/report.json", "evaluation")
    added.finish()
    client = MlflowClient(training.uri)
    run = client.get_run(training.run_id)
    assert (run.info.status, run.data.tags["ended"]) == ("FAILED", "RunError: no room")
    assert [entry.path for entry in client.list_artifacts(training.run_id, "evaluation")] == ["evaluation/report.json"]
    with pytest.raises(MissingInput, match="the step that writes it has not run"):
        added.log_file(f"{run_dir}/evaluate/nothing.json")
