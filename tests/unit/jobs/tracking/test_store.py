"""How long a running job has been silent: its driver may be dead, and MLflow can't know."""

import time

import pytest
from mlflow import MlflowClient

from jobs.recipe.schema import Recipe, TrackingConfig
from jobs.tracking import runs
from jobs.tracking.store import SILENT_S, read_runs


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> TrackingConfig:
    """Runs that began an hour ago; some logged a point since."""
    config = TrackingConfig(uri=f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db", experiment="silence")
    client = MlflowClient(tracking_uri=config.uri)
    experiment = client.create_experiment(config.experiment)
    now_ms = round(time.time() * 1000)
    for name, point_s, ends in (
        ("never", None, False), ("long ago", 2 * SILENT_S, False), ("just now", 1.0, False), ("ended", 3000.0, True),
    ):  # fmt: skip
        run = client.create_run(experiment, start_time=now_ms - 3_600_000, run_name=name)
        if point_s is not None:
            client.log_metric(run.info.run_id, "train/loss", 0.5, timestamp=now_ms - round(1000 * point_s))
            client.log_metric(run.info.run_id, "train/other", 0.5, timestamp=now_ms - 3_500_000)
        if ends:
            client.set_terminated(run.info.run_id)
    return config


def test_a_running_job_without_a_new_point_is_said_to_be_silent(found: TrackingConfig) -> None:
    reasons = {row.name: row.reason.partition(";")[0] for row in read_runs(found, 10)}
    assert reasons == {
        "never": "nothing came from it for 60 min", "long ago": "nothing came from it for 6 min", "just now": "",
        "ended": "",
    }  # fmt: skip


def test_the_silence_stands_below_the_table(found: TrackingConfig, capsys: pytest.CaptureFixture[str]) -> None:
    runs.run(Recipe(tracking=found))
    printed = " ".join(capsys.readouterr().out.split())
    assert "running: nothing came from it for 6 min; if its job is gone, the same command goes on with it" in printed
    assert printed.count("nothing came from it") == 2
