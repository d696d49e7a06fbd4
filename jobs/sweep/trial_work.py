"""The work of one trial, for a thread of its actor: train, evaluate, write the trial's point.

wait for room -> `jobs.train.train.run` -> wait for room -> `jobs.evaluate.evaluate.run` -> point.json
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import ray

from cluster.capacity import list_nodes, reserve, room_for
from cluster.session import ClusterInfo
from data_pipeline.errors import UserError
from data_pipeline.storage import join, read_json
from data_pipeline.watcher import watching
from jobs.evaluate import evaluate
from jobs.recipe.schema import Recipe
from jobs.runtime.termination import Terminated
from jobs.sweep.folder import SweepFolder
from jobs.sweep.placement import TrialPlacement
from jobs.sweep.point import measure_point
from jobs.sweep.trial_files import FLUSH_S, TrialLog, WorkerHours
from jobs.sweep.trials import TrialSpec
from jobs.tracking.store import metrics_of
from jobs.train import train
from jobs.train.coordinator import GroupState
from jobs.train.prepare import ParentJob
from rm_core.evaluation.results import EvaluationReport

__all__ = ["SweepJob", "TrialTask", "TrialWork", "one_line"]

POLL_S = 0.5
ASK_S = 5.0
MOST_CHARS = 500  # of a reason


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """What all trials of a sweep get."""

    cluster: ClusterInfo
    coordinator: Any
    """Handle of the `jobs.sweep.placement.SweepCoordinator`."""
    folder: SweepFolder
    working_folder: str
    """Where the driver's relative paths start."""
    name: str
    """The sweep's."""
    parent_run_id: str
    metric: str
    reduction: float | None
    """Of early stopping; None: there is none."""


@dataclass(frozen=True, kw_only=True)
class TrialTask:
    """What one trial gets."""

    spec: TrialSpec
    recipe: Recipe


class TrialWork:
    """One attempt at a trial; `state`, `num_steps` and `phase` say meanwhile how far it is.

    Args:
        log: gets what training and evaluation print.
    """

    def __init__(self, job: SweepJob, task: TrialTask, log: TrialLog) -> None:
        self._job = job
        self._task = task
        self._log = log
        self._queue = TrialPlacement(job.coordinator, task.spec.id)
        self._queue.leave()  # of an attempt whose process died
        self._hours = WorkerHours(job.folder.of_trial(task.spec.id, "worker_hours.json"))
        self.stop_reason: str | None = None
        """Why the trial shall stop; set from outside, None while it shall not."""
        self.state = GroupState()
        self.num_steps = 0
        self.phase = "waits for room"

    def run(self) -> dict[str, Any]:
        """Do it all; returns ``state``, ``reason`` and, of a finished trial, ``metric``.

        Raises:
            BaserewardError: an error that another attempt may cure.
        """
        with redirect_stdout(self._log.text):
            try:
                return self._train_and_evaluate()
            except Terminated as ended:
                return {"state": "ended", "reason": str(ended)}
            except UserError as error:
                return {"state": "failed", "reason": one_line(error)}
            finally:
                self._hours.flush()

    def _train_and_evaluate(self) -> dict[str, Any]:
        spec, recipe = self._task.spec, self._task.recipe
        train.run(recipe, self._parent_job())
        self.phase = "evaluates"
        report = self._evaluate()
        run_id = read_json(join(recipe.train.output, "job_state.json"), dict)["mlflow_run_id"]
        point = measure_point(
            recipe,
            spec,
            report,
            hours=self._hours.hours,
            on_gpus=self._job.cluster.on_gpus,
            metrics=metrics_of(recipe.tracking, run_id),
            run_id=run_id,
        )
        numbers = report.numbers() | {f"suite/{name}": value for name, value in point.suites.items()}
        self._job.folder.write_point(point, numbers)
        return {"state": "finished", "reason": "", "metric": numbers.get(self._job.metric)}

    def _parent_job(self) -> ParentJob:
        spec = self._task.spec
        tags = {"sweep": self._job.name, "trial": spec.id, "label": spec.label, "seed": str(spec.seed)}
        return ParentJob(
            cluster=self._job.cluster,
            run_id=self._job.parent_run_id,
            run_name=f"{self._job.name}: {spec.name}",
            watch=self._watch,
            queue=self._queue,
            tags=tags | {f"axis.{axis}": label for axis, label in spec.axes.items()},
        )

    @contextmanager
    def _watch(self, coordinator: Any, num_steps: int, _grace_s: float) -> Iterator[Callable[[], str | None]]:
        """A `jobs.train.progress.Watch`: reads the group's state, and asks it to stop where the trial shall."""
        self.num_steps = num_steps
        last_s = flushed_s = time.monotonic()
        asked = False

        def look() -> None:
            nonlocal last_s, flushed_s, asked
            now_s = time.monotonic()
            asked = self._look(coordinator, now_s - last_s, asked=asked)
            last_s = now_s
            if last_s - flushed_s >= FLUSH_S:
                self._hours.flush()
                flushed_s = last_s

        try:
            with watching(look, every_s=POLL_S, name="progress", at_end=True):
                yield lambda: self.stop_reason
        finally:
            self.state, self.phase = replace(self.state, note=""), "logs its model"

    def _look(self, coordinator: Any, seconds: float, *, asked: bool) -> bool:
        """Read the group's state once; returns whether the group has been asked to stop."""
        state: GroupState = ray.get(coordinator.read.remote())
        for text in state.notes[len(self.state.notes) :]:
            print(text)
        self.state = state
        if 0 < state.num_workers <= len(state.locations):
            self._queue.placed()
            self.phase = "starts"
            self._hours.add(state.num_workers, seconds)
        if self.stop_reason is not None and not asked:
            ray.get(coordinator.stop.remote(self.stop_reason))
        return self.stop_reason is not None

    def _evaluate(self) -> EvaluationReport:
        """On what the cluster has room for, at most as many processes as trained."""
        on_gpus = self._job.cluster.on_gpus
        need = {"CPU": 1.0, "GPU": 1.0} if on_gpus else {"CPU": 1.0}
        most = self._task.recipe.train.num_workers
        try:
            count = min(self._wait_for_room(need), most)
            gpus = count if on_gpus else 0
            share = replace(self._job.cluster, num_cpus=count, max_cpus=count, num_gpus=gpus, max_gpus=gpus)
            report = evaluate.run(self._task.recipe, share, self._queue.placed)
            assert report is not None, "a sweep's recipes name a split"
            return report
        finally:
            self._queue.leave()

    def _wait_for_room(self, need: Mapping[str, float]) -> int:
        """Wait until this trial is first in the queue and there is room; how much there is.

        A cluster that grows is asked to, after a while: it may have given its nodes back meanwhile.
        """
        first_since_s, asked = None, False
        try:
            while True:
                if self._queue.is_first():
                    if room := room_for(need, list_nodes()):
                        return room
                    first_since_s = first_since_s or time.monotonic()
                    if time.monotonic() - first_since_s >= ASK_S:
                        reserve(need, 1)
                        asked = True
                if self.stop_reason is not None:
                    raise Terminated(self.stop_reason)
                time.sleep(POLL_S)
        finally:
            if asked:
                reserve(need, 0)


def one_line(error: BaseException) -> str:
    """An error's kind and message, shortened, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_CHARS]}"
