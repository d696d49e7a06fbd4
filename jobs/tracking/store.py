"""What MLflow knows of the runs of an experiment, for the terminal; nothing is written."""

import time
from dataclasses import dataclass

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # noqa: F401  # it sets what mlflow reads at its import

from mlflow import MlflowClient
from mlflow.entities import Run

from data_pipeline.errors import MissingInput
from jobs.recipe.schema import TrackingConfig
from jobs.tracking.address import absolute_uri, find_experiment, store_errors
from jobs.tracking.tracker import ENDED_TAG

__all__ = ["RunRow", "experiment_id", "metrics_of", "read_runs"]


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run as a person asks for it."""

    run_id: str
    name: str
    state: str
    """running, finished, failed, killed."""
    reason: str
    """Why it ended, where it did not finish."""
    started_s: float
    """Seconds since 1970."""
    seconds: float
    """From its beginning to its end, or to now."""
    metrics: dict[str, float]
    """The newest value of each."""


def read_runs(config: TrackingConfig, limit: int) -> list[RunRow]:
    """The newest runs of the experiment, the newest first.

    Raises:
        UserError: the address is wrong, or there is no such experiment.
        RunError: the store can't be reached.
    """
    experiment = experiment_id(config)
    client = MlflowClient(tracking_uri=absolute_uri(config.uri))
    with store_errors(config.uri):
        found = client.search_runs([experiment], max_results=limit, order_by=["start_time DESC"])
    return [_row(run) for run in found]


def experiment_id(config: TrackingConfig) -> str:
    """MLflow's id of the experiment.

    Raises:
        UserError: the address is wrong, or there is no such experiment.
        RunError: the store can't be reached.
    """
    found = find_experiment(config)
    if found is None:
        raise MissingInput(f"{config.uri} has no experiment {config.experiment!r}: nothing has been trained yet")
    return str(found.experiment_id)


def metrics_of(config: TrackingConfig, run_id: str) -> dict[str, float]:
    """The newest value of every metric of a run.

    Raises:
        RunError: the store can't be reached, or doesn't know the run.
    """
    uri = absolute_uri(config.uri)
    with store_errors(config.uri):
        return dict(MlflowClient(tracking_uri=uri).get_run(run_id).data.metrics)


def _row(run: Run) -> RunRow:
    state = run.info.status.lower()
    ended_s = (run.info.end_time or time.time() * 1000) / 1000
    return RunRow(
        run_id=run.info.run_id,
        name=run.info.run_name,
        state=state,
        reason=run.data.tags.get(ENDED_TAG, "") if state in ("failed", "killed") else "",
        started_s=run.info.start_time / 1000,
        seconds=ended_s - run.info.start_time / 1000,
        metrics=dict(run.data.metrics),
    )
