"""The files of a sweep in its folder, local or ``s3://``: a restart reads them and goes on.

sweep.json                     name, method, axes, metric, the parent run
trials/ID/trial.json           what the trial is, its state and its MLflow run
trials/ID/train, evaluate      as `basereward train` and `basereward evaluate` write them
trials/ID/numbers.json         the main numbers of its evaluation
trials/ID/point.json           written last: a trial with it is finished
trials/ID/log.txt              its log
models/, data/                 what several trials share
report/                        the sweep's report
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_pipeline.storage import exists, join, list_folders, name_of, read_json, write_atomic
from jobs.recipe.schema import Recipe
from jobs.sweep.trials import TrialSpec, axis_labels
from rm_core.scaling.series import TrialPoint

__all__ = ["SweepFolder", "TrialState"]

SCHEMA_VERSION = 1


@dataclass(kw_only=True)
class TrialState:
    """How far a trial is."""

    spec: TrialSpec
    state: str = "pending"
    """pending, running, finished, failed, or stopped (early, for good)."""
    reason: str = ""
    """Why it is failed, stopped, or pending once more."""
    mlflow_run_id: str | None = None
    attempts: int = 0
    """How often it was started."""

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for `json.dumps`."""
        return {
            **self.spec.to_json(),
            "state": self.state,
            "reason": self.reason,
            "mlflow_run_id": self.mlflow_run_id,
            "attempts": self.attempts,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "TrialState":
        """What `to_json` returned."""
        own = {key: value[key] for key in ("state", "reason", "mlflow_run_id", "attempts")}
        return cls(spec=TrialSpec.from_json(value), **own)


@dataclass(frozen=True)
class SweepFolder:
    """The folder at `url`."""

    url: str

    def of_trial(self, trial: str, *parts: str) -> str:
        """A place in the folder of a trial."""
        return join(self.url, "trials", trial, *parts)

    def states(self) -> dict[str, TrialState]:
        """All trials that the folder knows, by id."""
        found: dict[str, TrialState] = {}
        for folder in list_folders(join(self.url, "trials")):
            state = self.state_of(name_of(folder))
            if state is not None:
                found[state.spec.id] = state
        return found

    def state_of(self, trial: str) -> TrialState | None:
        """How far a trial is; None where the folder does not know it. One with a point is finished."""
        url = self.of_trial(trial, "trial.json")
        if not exists(url):
            return None
        state = TrialState.from_json(read_json(url, dict))
        if state.state != "finished" and exists(self.of_trial(trial, "point.json")):
            state.state, state.reason = "finished", ""
        return state

    def write_state(self, state: TrialState) -> None:
        """Keep the state of a trial; its MLflow run is looked up in its training."""
        job = self.of_trial(state.spec.id, "train", "job_state.json")
        if state.mlflow_run_id is None and exists(job):
            state.mlflow_run_id = read_json(job, dict).get("mlflow_run_id")
        _write(self.of_trial(state.spec.id, "trial.json"), state.to_json())

    def settle(self, state: TrialState) -> None:
        """Write that a trial is finished where the driver died before it could, though the trial has its point."""
        if read_json(self.of_trial(state.spec.id, "trial.json"), dict)["state"] != state.state:
            self.write_state(state)

    def point_of(self, trial: str) -> TrialPoint | None:
        """The point of a finished trial; None for another one."""
        url = self.of_trial(trial, "point.json")
        return TrialPoint.from_json(read_json(url, dict)) if exists(url) else None

    def write_point(self, point: TrialPoint, numbers: Mapping[str, float]) -> None:
        """Make a trial finished.

        Args:
            numbers: the main ones of its evaluation.
        """
        _write(self.of_trial(point.id, "numbers.json"), dict(numbers))
        _write(self.of_trial(point.id, "point.json"), point.to_json())

    def numbers_of(self, trial: str) -> dict[str, float]:
        """The main numbers of a finished trial's evaluation; none for another one."""
        url = self.of_trial(trial, "numbers.json")
        numbers: dict[str, float] = read_json(url, dict) if exists(url) else {}
        return numbers

    def write_sweep(self, recipe: Recipe, trials: Sequence[TrialSpec], run_id: str) -> None:
        """Keep what the sweep is.

        Args:
            trials: all that are known so far.
            run_id: the parent run.
        """
        config = recipe.sweep
        facts = {
            "schema_version": SCHEMA_VERSION,
            "name": recipe.name,
            "method": config.method,
            "axes": axis_labels(trials),
            "metric": config.metric,
            "mode": config.mode,
            "mlflow_run_id": run_id,
            "report": config.report,
            "paper_table": config.paper_table,
        }
        _write(join(self.url, "sweep.json"), facts)


def _write(url: str, value: object) -> None:
    write_atomic(url, (json.dumps(value, indent=2) + "\n").encode())
