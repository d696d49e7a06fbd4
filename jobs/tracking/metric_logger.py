"""Points of metrics on their way to MLflow: beside the training, through outages of the server, and never twice.

    log(step, values) -> waiting -> thread: points the store has are dropped -> batches -> MLflow
                            | flush(), before a checkpoint
                            v
                     <output>/waiting_points.json -> the next attempt, or the driver at the end

A restart repeats the steps since the last checkpoint; the points of them that the store has are left out, name by name.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Self

# Read when mlflow is imported: nothing is sent anywhere.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DO_NOT_TRACK", "true")

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from data_pipeline import storage
from data_pipeline.errors import RunError

__all__ = ["MetricLogger", "folder_of_node", "log_artifact", "send_all_waiting", "send_waiting"]

METRICS_A_BATCH = 1000
RETRY_S = 2.0
WAITING_FILE = "waiting_points.json"
NODES_FOLDER = "waiting"

Point = tuple[str, float, int, int]
"""Name, value, time in milliseconds, step."""


class MetricLogger:
    """Points by step, for world rank 0, and for one rank of every other node.

    Args:
        uri: `Tracker.uri`.
        run_id: `Tracker.run_id`.
        folder: where points that MLflow has not taken survive this process, and where an earlier one's are found;
            None: nowhere, so that `close` fails where they can't be sent.
        last_step: points up to this step are left out whatever the store has; None: the store decides.
        interval_s: a point waits about this long, in seconds.
        patience_s: how long `close` waits for a store that doesn't answer.
        report: gets a line where the store stops answering, and when it answers again.
    """

    def __init__(
        self,
        uri: str,
        run_id: str,
        *,
        folder: str | None = None,
        last_step: int | None = None,
        interval_s: float = 2.0,
        patience_s: float = 10.0,
        report: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._uri = uri
        self._client = MlflowClient(tracking_uri=uri)
        self._run_id = run_id
        self._waiting_url = None if folder is None else storage.join(folder, WAITING_FILE)
        self._floor = -1 if last_step is None else last_step
        self._interval_s = interval_s
        self._patience_s = patience_s
        self._report = report
        self._waiting: deque[Point] = deque(_read_waiting(self._waiting_url))
        self._last: dict[str, int] | None = None  # where each metric ends; asked for by the thread, before it sends
        self._down: str | None = None
        self._closing = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow", daemon=True)
        self._thread.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Add one point of each metric at `step`; names are ``group/name``. Never waits for the store.

        Raises:
            ValueError: a name without its group.
        """
        now_ms = int(time.time() * 1000)
        for name in values:
            if "/" not in name:
                raise ValueError(f"metric {name!r} has no group: write train/{name}, eval/{name} or system/{name}")
        self._waiting.extend((name, float(value), now_ms, step) for name, value in values.items())

    def flush(self) -> None:
        """Make sure that what was logged up to here outlives this process, as the checkpoint after it will."""
        points = list(self._waiting)
        if points and self._waiting_url is not None:
            storage.write_atomic(self._waiting_url, json.dumps(points).encode())

    def close(self) -> None:
        """Send what waits; what can't be sent in `patience_s` is kept for the next attempt.

        Raises:
            RunError: there are points that could be neither sent nor kept.
        """
        self._closing.set()
        self._wake.set()
        self._thread.join(self._patience_s)
        points = list(self._waiting)
        if points and self._waiting_url is None:
            raise RunError(f"{len(points)} points could not be sent to MLflow at {self._uri}: {self._down}")
        if points:
            self.flush()
            self._report(f"{len(points)} points wait in {self._waiting_url} for MLflow")
        elif self._waiting_url is not None and storage.exists(self._waiting_url):
            storage.write_atomic(self._waiting_url, b"[]")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _run(self) -> None:
        """The thread: send what waits every `interval_s`, and once more when it ends."""
        while True:
            closing = self._closing.is_set()
            try:
                self._send()
            except (MlflowException, OSError) as error:  # OSError: requests' own errors too
                self._note_down(str(error).splitlines()[0])
                closing = False  # until `close` has no more patience, or the process ends
                time.sleep(RETRY_S)
            else:
                self._note_up()
            if closing:
                return
            self._wake.wait(self._interval_s)

    def _send(self) -> None:
        if self._last is None:
            self._last = self._read_last()
        while self._waiting:
            batch = [self._waiting[i] for i in range(min(len(self._waiting), METRICS_A_BATCH))]
            # A batch whose answer was lost is sent again as it was; the store takes a point with the same time once.
            fresh = list(_fresh(batch, self._last, self._floor))
            if fresh:
                metrics = [Metric(name, value, now_ms, step) for name, value, now_ms, step in fresh]
                self._client.log_batch(self._run_id, metrics=metrics)
            self._last |= {name: step for name, _, _, step in fresh}
            for _ in batch:
                self._waiting.popleft()

    def _read_last(self) -> dict[str, int]:
        newest = self._client.get_run(self._run_id).data.to_proto().metrics  # of each metric the point of the last step
        return {metric.key: int(metric.step) for metric in newest}

    def _note_down(self, text: str) -> None:
        if self._down is None:
            self._report(f"MLflow at {self._uri} takes no points ({text}); they wait, and training goes on")
        self._down = text

    def _note_up(self) -> None:
        if self._down is not None:
            self._report(f"MLflow at {self._uri} takes points again")
        self._down = None


def send_waiting(uri: str, run_id: str, folder: str, patience_s: float, report: Callable[[str], None]) -> None:
    """Send the points that a training left in `folder`.

    Raises:
        RunError: the store has not taken them in `patience_s`; they stay where they are.
    """
    url = storage.join(folder, WAITING_FILE)
    if not _read_waiting(url):
        return
    logger = MetricLogger(uri, run_id, folder=folder, patience_s=patience_s, report=report)
    logger.close()
    if _read_waiting(url):
        raise RunError(
            f"MLflow at {uri} has not answered for {patience_s:g} s: start it, and run the same command again to send "
            f"the points that wait in {url}"
        )


def folder_of_node(output: str, address: str) -> str:
    """Where a node's own points wait, for nodes other than that of world rank 0, whose wait in `output` itself."""
    return storage.join(output, NODES_FOLDER, address.replace(":", "-"))


def send_all_waiting(uri: str, run_id: str, output: str, patience_s: float, report: Callable[[str], None]) -> None:
    """`send_waiting` for `output` and for every node's folder in it."""
    others = storage.list_files(storage.join(storage.escaped(output), NODES_FOLDER, "*", WAITING_FILE))
    for folder in [output, *map(storage.parent_of, others)]:
        send_waiting(uri, run_id, folder, patience_s, report)


def log_artifact(uri: str, run_id: str, path: str, folder: str, report: Callable[[str], None]) -> None:
    """Copy a local file to the run's artifacts; where the server doesn't take it, the training goes on without."""
    try:
        MlflowClient(tracking_uri=uri).log_artifact(run_id, path, folder)
    except (MlflowException, OSError) as error:
        report(f"{os.path.basename(path)} could not be kept with the run: {str(error).splitlines()[0]}")


def _read_waiting(url: str | None) -> list[Point]:
    if url is None or not storage.exists(url):
        return []
    return [(name, value, now_ms, step) for name, value, now_ms, step in storage.read_json(url, list)]


def _fresh(points: list[Point], last: Mapping[str, int], floor: int) -> Iterator[Point]:
    """Points behind the last step of their metric, each step once."""
    ends = dict(last)
    for name, value, now_ms, step in points:
        if step > max(floor, ends.get(name, -1)):
            ends[name] = step
            yield name, value, now_ms, step
