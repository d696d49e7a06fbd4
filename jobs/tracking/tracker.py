"""The driver's adapter to MLflow: one run, made or taken up, its models and its end; `run_writer` writes the rest.

The driver makes one run, or takes up the one that ``<run_dir>/job_state.json`` names, and gives ``(uri, run_id)`` to
world rank 0, which logs points by step through `metric_logger`. Names are grouped: ``train/``, ``eval/``, ``system/``.
"""

import json
import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jobs.tracking.run_writer import RunWriter  # isort: skip  # first: it sets what mlflow reads when it is imported

from mlflow.entities import LoggedModelOutput
from mlflow.exceptions import MlflowException

from data_pipeline import storage
from data_pipeline.errors import MissingInput
from jobs.recipe.addresses import SQLITE
from jobs.recipe.schema import TrackingConfig
from jobs.runtime.ends import told_of_the_end
from jobs.runtime.terminal import say
from jobs.runtime.termination import Terminated, reason_ended, stop_signal, uninterrupted
from jobs.tracking.address import UNREACHABLE, absolute_uri, find_experiment, store_errors
from jobs.tracking.answers import check_answers

__all__ = ["ENDED_TAG", "STATE_FILE", "Tracker", "reason_of", "state_of"]

STATE_FILE = "job_state.json"
ENDED_TAG = "ended"
PARENT_TAG = "mlflow.parentRunId"  # what the UI nests runs by

NOT_IN_MODEL_NAMES = r"[/:.%\"']"  # a recipe's name may hold them: paper/mixture
MODEL_VERSIONS_TAG = "mlflow.modelVersions"  # where the UI looks for a logged model's registered versions

# Creating a store prints one INFO line for each of its migrations.
for _name in ("alembic", "mlflow.store.db.utils", "mlflow.tracking", "sqlalchemy"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Tracker(RunWriter):
    """One MLflow run, written by the driver. `uri` and `run_id` are what a `MetricLogger` needs."""

    def __init__(
        self, config: TrackingConfig, *, run_dir: str, run_name: str, parent: str | None = None, adds: bool = False,
        patience_s: float = 0.0,
    ) -> None:  # fmt: skip
        """Take up the run that ``<run_dir>/job_state.json`` names, or make one and write its id there.

        Args:
            parent: id of the run that a new one is shown below.
            patience_s: how long to wait for a server that doesn't answer; it always gets some seconds.
            adds: to the run of another job: its state, its end and why it ended stay as they are.

        Raises:
            UserError: the address, the experiment or the run that the state names is not there, or was deleted.
            RunError: the store can't be reached.
        """
        super().__init__(absolute_uri(config.uri))
        check_answers(config.uri, patience_s)
        self._adds = adds
        self._state_url = storage.join(run_dir, STATE_FILE)
        state = self._read_state()
        with store_errors(config.uri):
            self._experiment_id = self._experiment(config)
            run_id = state.get("mlflow_run_id")
            self.resumed = run_id is not None
            if run_id is None:
                tags = {} if parent is None else {PARENT_TAG: parent}
                run_id = self._client.create_run(self._experiment_id, run_name=run_name, tags=tags).info.run_id
                self._write_state(mlflow_run_id=run_id)
            else:
                self._check_is_there(run_id, config.uri)
            if self.resumed and not adds:
                self._client.update_run(run_id, status="RUNNING")
                if ENDED_TAG in self._client.get_run(run_id).data.tags:
                    self._client.delete_tag(run_id, ENDED_TAG)
            self.run_id = run_id
            self.began_s = self._client.get_run(run_id).info.start_time / 1000
        """When the run was made, in seconds since 1970; restarts leave it."""

    def log_model(self, folder: str | Path, *, name: str, step: int, beside: str | None = None) -> str:
        """Log an exported model as the run's output, once; a restart that logs it again gets the first id.

        Args:
            folder: local folder with weights, config and processor.
            name: what the UI shows.
            step: the optimiser step the weights are from.
            beside: another local folder, whose files go beside the model's.

        Returns:
            The id of the logged model.
        """
        key = f"mlflow_model_{name}_{step}"
        if known := self._read_state().get(key):
            return known
        shown = re.sub(NOT_IN_MODEL_NAMES, "_", name)
        model = self._client.create_logged_model(self._experiment_id, name=shown, source_run_id=self.run_id)
        for part in (str(folder), *([beside] if beside else [])):
            self._client.log_model_artifacts(model.model_id, part)
        self._client.finalize_logged_model(model.model_id, "READY")
        self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step)])
        self._write_state(**{key: model.model_id})
        return str(model.model_id)

    def finish(self, status: str = "FINISHED", reason: str = "") -> None:
        """End the run, if it is this job's: FINISHED, FAILED or KILLED; tag ``ended`` says why."""
        if self._adds:
            return
        self.set_tags({ENDED_TAG: reason or status.lower()})
        self._client.set_terminated(self.run_id, status)

    @contextmanager
    def ended_by_errors(self) -> Iterator[None]:
        """In the block, an error ends the run as `state_of` and `reason_of` say, and is raised."""
        try:
            with told_of_the_end(self.end_by):
                yield
        except BaseException as error:
            self.end_by(error)
            raise

    def end_by(self, error: BaseException) -> None:
        """End the run because of `error`; where MLflow doesn't answer that is said, and nothing is raised."""
        with uninterrupted():
            try:
                self.finish(state_of(error).upper(), reason_of(error))
            except UNREACHABLE as unreachable:
                said = str(unreachable).splitlines()[0]
                say(f"MLflow at {self.uri} could not be told that the run is {state_of(error)}: {said}")

    def _experiment(self, config: TrackingConfig) -> str:
        found = find_experiment(config)
        if found is not None:
            return str(found.experiment_id)
        location = config.artifacts
        if location is None and self.uri.startswith(SQLITE):
            location = (Path(self.uri.removeprefix(SQLITE)).parent / "mlartifacts").as_uri()
        # Without the kind the UI opens on its pages for language-model applications.
        kind = {"mlflow.experimentKind": "custom_model_development"}
        return str(self._client.create_experiment(config.experiment, artifact_location=location, tags=kind))

    def _check_is_there(self, run_id: str, uri: str) -> None:
        try:
            stage = self._client.get_run(run_id).info.lifecycle_stage
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            message = f"{self._state_url} names MLflow run {run_id}, which {uri} doesn't have: "
            raise MissingInput(f"{message}set tracking.uri to its store, or remove that file to begin anew") from error
        if stage != "active":
            raise MissingInput(
                f"{self._state_url} names MLflow run {run_id}, which was deleted from {uri}: restore it with "
                f"`MLFLOW_TRACKING_URI={self.uri} mlflow runs restore --run-id {run_id}`, or remove that file to begin "
                "anew"
            )

    def _read_state(self) -> dict[str, str]:
        if not storage.exists(self._state_url):
            return {}
        state: dict[str, str] = storage.read_json(self._state_url, dict)
        return state

    def _write_state(self, **changes: str) -> None:
        state = self._read_state() | changes
        storage.write_atomic(self._state_url, json.dumps(state, indent=2, sort_keys=True).encode())


def state_of(error: BaseException) -> str:
    """The state of a run that `error` ended: killed or failed."""
    return "killed" if stop_signal() is not None or not isinstance(error, Exception) else "failed"


def reason_of(error: BaseException) -> str:
    """Why a run ended, for its tag in MLflow."""
    if isinstance(error, Terminated) and str(error):
        return str(error)
    came = stop_signal()
    return f"{type(error).__name__}: {error}" if came is None else reason_ended(came)
