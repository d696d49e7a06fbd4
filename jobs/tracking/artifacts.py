"""Runs of an MLflow store by id, part of an id or name, and files of theirs; nothing is written to the store."""

from dataclasses import dataclass
from pathlib import Path

from jobs.tracking.metric_logger import MetricLogger  # isort: skip  # noqa: F401  # it sets what mlflow reads at its import

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.environment_variables import MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR

from data_pipeline.errors import MissingInput, UserError
from jobs.tracking.address import absolute_uri, store_errors

__all__ = ["FoundRun", "download", "find_run"]

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
    client = MlflowClient(tracking_uri=absolute_uri(uri))
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
    client = MlflowClient(tracking_uri=absolute_uri(uri))
    MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR.set(False)  # one small file; the bar would stand in the user's output
    with store_errors(uri):
        parent = str(Path(artifact).parent)
        if all(entry.path != artifact for entry in client.list_artifacts(run.run_id, parent)):
            raise MissingInput(
                f"run {run.title} has no {artifact}: `basereward evaluate` logs it to the training's run"
            )
        return str(client.download_artifacts(run.run_id, artifact, folder))
