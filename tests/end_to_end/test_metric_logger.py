"""Points of metrics through outages of a real MLflow server: none lost, none twice, no step held up."""

import json
import select
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow_server import MlflowServer
from training_runs import ended, run_id_of, series_of, wait_for_checkpoint
from workplace import NUM_STEPS, Workplace

from data_pipeline.errors import RunError
from jobs.recipe.schema import TrackingConfig
from jobs.tracking.metric_logger import WAITING_FILE, MetricLogger, send_waiting
from jobs.tracking.tracker import Tracker


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MlflowServer]:
    one = MlflowServer(tmp_path)
    one.start()
    yield one
    one.stop()


def points_of(uri: str, run_id: str, name: str) -> list[tuple[int, float]]:
    return [(point.step, point.value) for point in MlflowClient(uri).get_metric_history(run_id, name)]


def test_points_of_an_outage_arrive_when_the_server_is_back(
    server: MlflowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    run_id = Tracker(TrackingConfig(uri=server.uri), run_dir=str(tmp_path), run_name="mine").run_id
    said: list[str] = []
    with MetricLogger(server.uri, run_id, interval_s=0.05, patience_s=60, report=said.append) as logger:
        logger.log(1, {"train/loss": 1.0})
        while not points_of(server.uri, run_id, "train/loss"):
            time.sleep(0.02)
        server.stop()
        start_s = time.monotonic()
        for step in range(2, 500):
            logger.log(step, {"train/loss": 1 / step})
            logger.flush()
        assert time.monotonic() - start_s < 10, "the training waits for the server"
        while not said:
            time.sleep(0.02)
        server.start()
    assert points_of(server.uri, run_id, "train/loss") == [(step, 1 / step) for step in range(1, 500)]
    assert ["takes no points" in said[0], "takes points again" in said[1], len(said)] == [True, True, 2]


def test_points_that_wait_at_the_end_are_kept_and_sent_by_the_next(tmp_path: Path) -> None:
    tracker = Tracker(TrackingConfig(uri=f"sqlite:///{tmp_path}/m.db"), run_dir=str(tmp_path), run_name="mine")
    folder = str(tmp_path / "out")
    away = "http://127.0.0.1:9"  # nobody listens there
    with MetricLogger(away, tracker.run_id, folder=folder, patience_s=0.1) as logger:
        for step in range(1, 6):
            logger.log(step, {"train/loss": 1 / step})
            if step == 4:
                logger.flush()
    assert len(json.loads((tmp_path / "out" / WAITING_FILE).read_text())) == 5
    with pytest.raises(RunError, match=f"has not answered for 0.1 s.*{WAITING_FILE}"):
        send_waiting(away, tracker.run_id, folder, 0.1, print)
    with MetricLogger(tracker.uri, tracker.run_id, folder=folder) as logger:  # a restart, from the checkpoint of step 3
        for step in range(4, 8):
            logger.log(step, {"train/loss": 1 / step})
    assert points_of(tracker.uri, tracker.run_id, "train/loss") == [(step, 1 / step) for step in range(1, 8)]
    send_waiting(tracker.uri, tracker.run_id, folder, 0.1, print)
    with pytest.raises(RunError, match="1 points could not be sent"), MetricLogger(away, "r", patience_s=0.1) as logger:
        logger.log(1, {"train/loss": 1.0})


def test_a_server_that_takes_the_call_and_says_nothing_holds_nobody_up(tmp_path: Path) -> None:
    tracker = Tracker(TrackingConfig(uri=f"sqlite:///{tmp_path}/m.db"), run_dir=str(tmp_path), run_name="mine")
    folder = str(tmp_path / "out")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        uri = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with MetricLogger(uri, tracker.run_id, folder=folder, interval_s=0.01, patience_s=0.1) as logger:
            logger.log(1, {"train/loss": 1.0})
            held, _ = silent.accept()  # the sender is inside its request, and stays there
            for step in range(2, 2001):
                logger.log(step, {"train/loss": 1 / step})
                if step % 500 == 0:
                    logger.flush()
            assert select.select([silent], [], [], 0)[0] == [], "somebody asked again: the first request is over"
        held.close()
    send_waiting(tracker.uri, tracker.run_id, folder, 60, print)
    assert points_of(tracker.uri, tracker.run_id, "train/loss") == [(step, 1 / step) for step in range(1, 2001)]


@pytest.mark.drill
def test_a_server_that_is_away_for_a_minute_costs_a_training_nothing(
    workplace: Workplace, server: MlflowServer
) -> None:
    workplace.run("train", f"train.output={workplace.folder}/quiet")
    output = workplace.folder / "outage"
    process = workplace.start("train", f"train.output={output}", f"tracking.uri={server.uri}")
    wait_for_checkpoint(process, output)
    server.stop()
    wait_for_checkpoint(process, output, NUM_STEPS)  # the training doesn't wait for it
    time.sleep(60)
    server.start()
    printed = ended(process)
    assert "takes no points" in printed
    assert series_of(workplace.folder, "outage", server.uri) == series_of(workplace.folder, "quiet")
    assert MlflowClient(server.uri).get_run(run_id_of(output)).info.status == "FINISHED"
