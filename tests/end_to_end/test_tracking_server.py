"""Tracking as in production: a real MLflow server on a real PostgreSQL, files on a real S3 server."""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer
from postgres_server import postgres_server  # noqa: F401  # a fixture
from s3_server import S3Server, s3_server  # noqa: F401  # a fixture
from training_runs import EXACT, ended, run_id_of, series_of, wait_for_checkpoint
from workplace import NUM_STEPS, Workplace

from data_pipeline import storage
from jobs.recipe.schema import TrackingConfig
from jobs.registry.registry import ModelRegistry
from jobs.tracking.metric_logger import MetricLogger
from jobs.tracking.store import read_runs
from jobs.tracking.tracker import Tracker


@pytest.fixture(scope="module")
def server(
    postgres_server: str,  # noqa: F811
    s3_server: S3Server,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[MlflowServer]:
    folder = tmp_path_factory.mktemp("server")
    one = MlflowServer(
        folder,
        database=postgres_server,
        artifacts=f"s3://{s3_server.bucket}/mlflow",
        env={**s3_server.environment, "MLFLOW_S3_ENDPOINT_URL": s3_server.endpoint},
    )
    one.start()
    yield one
    one.stop()


def make(server: MlflowServer, folder: Path, experiment: str = "basereward") -> Tracker:
    return Tracker(TrackingConfig(uri=server.uri, experiment=experiment), run_dir=str(folder), run_name="mine")


def test_one_run_over_restarts_with_data_status_and_reason(server: MlflowServer, tmp_path: Path) -> None:
    first = make(server, tmp_path)
    first.log_params({"train.seed": "0"} | {f"many.{i}": "x" * 5999 for i in range(250)})
    first.set_tags({"recipe": "mine"})
    first.log_dataset(name="mine", fingerprint="a" * 64, source="shards", profile={"kept": 3}, context="training")
    first.finish("KILLED", "SIGTERM")
    second = make(server, tmp_path)
    second.log_dataset(name="mine", fingerprint="a" * 64, source="shards", profile={"kept": 3}, context="training")
    second.log_dataset(name="mine heldout", fingerprint="b" * 64, source="s", profile={}, context="evaluation")
    second.write_page({"": "**Failed** · step 3", "Attempts": "| a |"}, {"steps": "3 of 9"})
    second.describe("| b |", "Split heldout")
    second.finish("FAILED", "RunError: no room")
    run = MlflowClient(server.uri).get_run(first.run_id)
    assert (second.run_id, second.began_s) == (first.run_id, first.began_s)
    assert (run.info.status, run.data.tags["ended"], len(run.data.params)) == ("FAILED", "RunError: no room", 251)
    assert run.data.tags["mlflow.note.content"] == (
        "**Failed** · step 3\n\n## Split heldout\n\n| b |\n\n## Attempts\n\n| a |"
    )
    inputs = [(one.dataset.name, one.tags[0].value) for one in run.inputs.dataset_inputs]
    assert sorted(inputs) == [("mine", "training"), ("mine heldout", "evaluation")]
    [row] = read_runs(TrackingConfig(uri=server.uri), 10)
    assert (row.state, row.reason) == ("failed", "RunError: no room")


def test_no_point_twice_and_every_metric_of_a_step(server: MlflowServer, tmp_path: Path) -> None:
    tracker = make(server, tmp_path, "points")
    for steps in (range(1, 301), range(250, 401)):  # the second from the checkpoint of step 249
        with MetricLogger(server.uri, tracker.run_id, interval_s=0.05) as logger:
            for step in steps:
                logger.log(step, {f"train/m{i}": step / (i + 1) for i in range(10)} | {"train/huge": 1e300})
    assert tracker.points("train/m7") == [(step, step / 8) for step in range(1, 401)]
    assert tracker.points("train/huge")[-1] == (400, 1e300)
    assert len(tracker.metrics()) == 11


def test_files_lie_in_the_bucket_and_come_back(server: MlflowServer, s3_server: S3Server, tmp_path: Path) -> None:  # noqa: F811
    tracker = make(server, tmp_path, "files")
    folder = tmp_path / "export"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(bytes(range(256)) * 40_000)
    tracker.log_text("name: mine", "config/recipe.yaml")
    tracker.log_bytes(b"\x89PNG", "plots/training.png")
    model_id = tracker.log_model(folder, name="mine", step=7)
    kept = storage.list_files(f"s3://{s3_server.bucket}/mlflow/**")
    for name in (f"{tracker.run_id}/artifacts/plots/training.png", f"{model_id}/artifacts/model.safetensors"):
        assert any(url.endswith(name) for url in kept), kept
    client = MlflowClient(server.uri)
    registry = ModelRegistry(server.uri)
    made = registry.register("served", registry.resolve(f"models:/{model_id}"), tags={})
    [version] = client.search_model_versions("name='served'")
    assert version.run_id == tracker.run_id and version.version == made.version
    back = Path(client.download_artifacts(tracker.run_id, "config/recipe.yaml", str(tmp_path)))
    assert back.read_text() == "name: mine"


def test_other_hosts_are_refused_and_health_is_not(server: MlflowServer) -> None:
    for path, code in (("/health", 200), ("/api/2.0/mlflow/experiments/get?experiment_id=0", 403)):
        request = urllib.request.Request(server.uri + path, headers={"Host": "mlflow.example.com"})
        try:
            with urllib.request.urlopen(request) as answer:
                assert answer.status == code
        except urllib.error.HTTPError as error:
            assert error.code == code


@pytest.mark.drill
def test_a_training_ended_and_taken_up_again_is_one_run(
    workplace: Workplace,
    server: MlflowServer,
    s3_server: S3Server,  # noqa: F811
) -> None:
    output = workplace.folder / "served"
    options = [f"train.output={output}", f"tracking.uri={server.uri}", "tracking.experiment=trainings"]
    options += ["tracking.system_metrics_s=0.5", "train.num_workers=2"]
    process = workplace.start("train", *options, "train.log_every=1")
    wait_for_checkpoint(process, output, 10)
    process.terminate()
    ended(process, 143)
    client = MlflowClient(server.uri)
    run_id = run_id_of(output)
    run = client.get_run(run_id)
    assert run.info.status == "KILLED" and run.data.tags["ended"].startswith("SIGTERM")
    assert run.data.tags["mlflow.note.content"].startswith("**Killed**")
    workplace.run("train", *options)
    workplace.run("evaluate", *options, f"evaluate.model={output}/export", f"evaluate.output={output}/evaluate")
    run = client.get_run(run_id)
    note, tags = run.data.tags["mlflow.note.content"], run.data.tags
    assert run.info.status == "FINISHED" and run_id_of(output) == run_id
    assert note.startswith(f"**Finished** · step {NUM_STEPS} of {NUM_STEPS}") and "| all |" in note
    assert (tags["attempts"], tags["world_sizes"], tags["cluster.gpus"]) == ("2", "2, 2", "none")
    assert int(tags["resumed_from_steps"]) >= 10
    for name, points in series_of(workplace.folder, "served", server.uri).items():
        assert [step for step, _ in points] == list(range(1, NUM_STEPS + 1)), name
    node = [name for name in run.data.metrics if name.startswith("system/node_")]
    assert any(name.endswith("/cpu_percent") for name in node)
    for name in node:
        steps = [point.step for point in client.get_metric_history(run_id, name)]
        assert steps == sorted(set(steps)), name
    assert {one.tags[0].value for one in run.inputs.dataset_inputs} == {"training", "evaluation"}
    kept = {
        url.partition(f"{run_id}/artifacts/")[2] for url in storage.list_files(f"s3://{s3_server.bucket}/mlflow/**")
    }
    wanted = {"config/recipe.yaml", "data/manifest.json", "data/data.html", "plots/training.png", "plots/accuracy.png"}
    assert wanted | {"evaluation/report.json", "evaluation/report.html"} <= kept
    manifest = json.loads(Path(client.download_artifacts(run_id, "data/manifest.json", str(output))).read_text())
    assert manifest["counts"]["by_split"] and len(EXACT) == len(series_of(workplace.folder, "served", server.uri))
