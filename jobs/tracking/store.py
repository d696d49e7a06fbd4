"""What MLflow knows of the runs of an experiment: found by id or name, listed, and their files; nothing is written."""

import time
from dataclasses import dataclass

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # noqa: F401  # it sets what mlflow reads at its import
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

from data_pipeline.errors import MissingInput, UserError
from jobs.recipe.schema import TrackingConfig
from jobs.runtime.terminal import duration
from jobs.tracking.address import absolute_uri, find_experiment, store_errors
from jobs.tracking.answers import check_answers
from jobs.tracking.run_writer import SECONDS_TAG
from jobs.tracking.tracker import ENDED_TAG

__all__ = ["FoundRun", "RunRow", "download", "experiment_id", "find_run", "metrics_of", "read_runs"]

SILENT_S = 180.0
"""Seconds after which a running job that logs nothing is said to be silent: nodes log each ten seconds by default."""


@dataclass(frozen=True, kw_only=True)
class RunRow:
    """One run as a person asks for it."""

    run_id: str
    name: str
    state: str
    """running, finished, failed, killed."""
    reason: str
    """Why it ended, where it did not finish; of a running one for how long nothing came from it, where that is long."""
    started_s: float
    """Seconds since 1970."""
    seconds: float
    """From its beginning to now; of one that has ended those of its attempts, where it had such, or to its end."""
    metrics: dict[str, float]
    """The newest value of each."""


def read_runs(config: TrackingConfig, limit: int) -> list[RunRow]:
    """The newest runs of the experiment, the newest first.

    Raises:
        UserError: the address is wrong, or there is no such experiment.
        RunError: the store can't be reached.
    """
    experiment = experiment_id(config)
    client = _client(config.uri)
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
    client = _client(config.uri)
    with store_errors(config.uri):
        return dict(client.get_run(run_id).data.metrics)


def _client(uri: str) -> MlflowClient:
    check_answers(uri)
    return MlflowClient(tracking_uri=absolute_uri(uri))


def _row(run: Run) -> RunRow:
    state = run.info.status.lower()
    ended_s = (run.info.end_time or time.time() * 1000) / 1000
    worked = None if state == "running" else run.data.tags.get(SECONDS_TAG)
    return RunRow(
        run_id=run.info.run_id,
        name=run.info.run_name,
        state=state,
        reason=_silence(run) if state == "running" else _end(run, state),
        started_s=run.info.start_time / 1000,
        seconds=ended_s - run.info.start_time / 1000 if worked is None else float(worked),
        metrics=dict(run.data.metrics),
    )


def _end(run: Run, state: str) -> str:
    return run.data.tags.get(ENDED_TAG, "") if state in ("failed", "killed") else ""


def _silence(run: Run) -> str:
    """A driver that was killed can't end its run, and MLflow shows it as running until the next start."""
    points = [metric.timestamp for metric in run.to_proto().data.metrics]
    silent_s = time.time() - max([run.info.start_time, *points]) / 1000
    if silent_s < SILENT_S:
        return ""
    return f"nothing came from it for {duration(silent_s)}; if its job is gone, the same command goes on with it"


_LISTED = 5


@dataclass(frozen=True, kw_only=True)
class FoundRun:
    """A run that is there."""

    run_id: str
    name: str

    @property
    def title(self) -> str:
        """What to call it beside another of the same name."""
        return f"{self.name} ({self.run_id[:8]})"


def find_run(uri: str, wanted: str) -> FoundRun:
    """The run whose id begins with `wanted`, or whose name it is, in any experiment of the store.

    Raises:
        MissingInput: there is none.
        UserError: there are several.
        RunError: the store can't be reached.
    """
    client = _client(uri)
    with store_errors(uri):
        experiments = [one.experiment_id for one in client.search_experiments()]
        runs: dict[str, Run] = {}
        if "'" not in wanted and "%" not in wanted:  # no id has one, and no filter could hold it
            for filter_string in (f"attributes.run_id LIKE '{wanted}%'", f"attributes.run_name = '{wanted}'"):
                for run in client.search_runs(experiments, filter_string, order_by=["start_time DESC"]):
                    runs[run.info.run_id] = run
    found = [FoundRun(run_id=run.info.run_id, name=run.info.run_name) for run in runs.values()]
    if not found:
        raise MissingInput(
            f"{wanted!r} is no folder with scored.parquet, and no run of {uri} has such a name, or an id that begins "
            "so: `basereward runs` lists them"
        )
    if len(found) > 1:
        listed = ", ".join(one.title for one in found[:_LISTED]) + (", ..." if len(found) > _LISTED else "")
        raise UserError(f"{wanted!r} is said of {len(found)} runs of {uri}: {listed}; give more of the id")
    return found[0]


def download(uri: str, run: FoundRun, artifact: str, folder: str) -> str:
    """Copy one file of a run's artifacts into the local `folder`; returns its path.

    Raises:
        MissingInput: the run has no such file.
        RunError: the store can't be reached.
    """
    client = _client(uri)
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # one small file; the bar would stand in the user's output
    with store_errors(uri):
        parent = str(Path(artifact).parent)
        if all(entry.path != artifact for entry in client.list_artifacts(run.run_id, parent)):
            raise MissingInput(
                f"run {run.title} has no {artifact}: `basereward evaluate` logs it to the training's run"
            )
        return str(client.download_artifacts(run.run_id, artifact, folder))
