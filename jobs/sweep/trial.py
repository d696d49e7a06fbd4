"""One trial of a sweep as Ray Tune runs it: an actor on the driver's node that trains, evaluates and keeps its point.

The work is done in a thread by the same functions as `basereward train` and `basereward evaluate`; Tune asks `step` how
far it is. Told to end, by Tune's scheduler or because the whole sweep ends, the group writes a checkpoint first.
"""

import json
import os
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import Any

import jobs.sweep.environment  # isort: skip  # noqa: F401  # before Ray Tune

import ray
from ray import tune

from cluster.capacity import list_nodes, reserve, room_for
from cluster.session import ClusterInfo
from data_pipeline.errors import UserError
from data_pipeline.storage import read_bytes
from jobs.evaluate import evaluate
from jobs.recipe.schema import Recipe
from jobs.runtime.termination import Terminated
from jobs.sweep.folder import SweepFolder
from jobs.sweep.placement import TrialTurns
from jobs.sweep.point import measure_point
from jobs.sweep.trial_files import KEEP_S, TrialLog, WorkerHours
from jobs.sweep.trials import TrialSpec
from jobs.tracking.store import metrics_of
from jobs.train import train
from jobs.train.coordinator import BoardState
from rm_core.evaluation.results import EvaluationReport

__all__ = ["SweepJob", "SweepTrial", "TrialTask", "early_reason"]

REPORT_S = 1.0  # a step takes so long at most: what Tune has to say comes between two of them
POLL_S = 0.5
ASK_S = 5.0
MOST_CHARS = 500  # of a reason


@dataclass(frozen=True, kw_only=True)
class SweepJob:
    """What all trials are told."""

    cluster: ClusterInfo
    board: Any
    """Handle of the `jobs.sweep.placement.SweepBoard`."""
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
    """What one trial is told."""

    spec: TrialSpec
    recipe: Recipe


def early_reason(result: Mapping[str, Any], reduction: float | None) -> str:
    """Why a trial was ended early: with its last result, and `reduction` of early stopping."""
    reason = f"stopped early after step {result.get('step', 0)} of {result.get('num_steps', 0)}"
    if reduction is None or "loss" not in result:
        return reason
    return f"{reason}: its loss of {result['loss']:.4f} was not among the best 1 in {reduction:g}"


class SweepTrial(tune.Trainable):
    """The actor. Its results: ``step``, ``num_steps``, ``note``, ``loss``; the last: ``state``, ``reason``, ``metric``.

    An error that another attempt may cure is raised, and Tune counts it; any other end is a result.
    """

    def setup(self, config: dict[str, Any], job: SweepJob) -> None:  # type: ignore[override]  # `with_parameters` adds it
        """Begin.

        Args:
            config: ``trial`` is the id of a task on the board.
            job: the sweep.
        """
        os.chdir(job.working_folder)
        self._job = job
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Begin another trial in this process, which has imported everything already."""
        self.cleanup()
        self._begin(new_config)
        return True

    def _begin(self, config: dict[str, Any]) -> None:
        job = self._job
        self._task: TrialTask = ray.get(ray.get(job.board.task.remote(config["trial"]))[0])
        self._turns = TrialTurns(job.board, self._task.spec.id)
        self._turns.leave()  # of an attempt whose process died
        self._ends: str | None = None
        self._state = BoardState()
        self._num_steps = 0
        self._told: dict[str, Any] = {"step": -1}
        self._phase = "waits for room"
        self._hours = WorkerHours(job.folder.of_trial(self._task.spec.id, "worker_hours.json"))
        self._log = TrialLog(job.folder.of_trial(self._task.spec.id, "log.txt"))
        self._work = ThreadPoolExecutor(1, thread_name_prefix="trial").submit(self._run)

    def step(self) -> dict[str, Any]:
        """What is new after at most a second.

        Raises:
            BaserewardError: the trial failed in a way that another attempt may cure.
        """
        future: Future[dict[str, Any]] = self._work
        wait([future], timeout=REPORT_S)
        self._log.keep()
        if not future.done():
            return self._progress()
        if (error := future.exception()) is not None:
            self._log.text.write("".join(traceback.format_exception(error)))
            ray.get(self._job.board.fail.remote(self._task.spec.id, _one_line(error)))
        self._log.keep(now=True)
        return {**self._progress(), **future.result(), "done": True}

    def cleanup(self) -> None:
        """End the group after its next step, with a checkpoint, and wait for that."""
        if self._work.done():
            return
        self._ends = ray.get(self._job.board.ends.remote()) or early_reason(self._told, self._job.reduction)
        wait([self._work], timeout=self._task.recipe.train.stop_grace_s)
        self._log.keep(now=True)

    def _progress(self) -> dict[str, Any]:
        steps = self._state.steps_done
        report: dict[str, Any] = {"step": steps, "num_steps": self._num_steps, "note": self._state.note or self._phase}
        if self._told["step"] < steps < self._num_steps and self._state.loss is not None:
            report["loss"] = self._state.loss  # only while there is something left to stop
        self._told = report
        return report

    def _run(self) -> dict[str, Any]:
        with redirect_stdout(self._log.text):
            try:
                return self._train_and_evaluate()
            except Terminated as ended:
                return {"state": "ended", "reason": str(ended)}
            except UserError as error:
                return {"state": "failed", "reason": _one_line(error)}
            finally:
                self._hours.keep()

    def _train_and_evaluate(self) -> dict[str, Any]:
        spec, recipe, folder = self._task.spec, self._task.recipe, self._job.folder
        tags = {"sweep": self._job.name, "trial": spec.id, "label": spec.label, "seed": str(spec.seed)}
        part = train.PartOf(
            cluster=self._job.cluster,
            parent_run_id=self._job.parent_run_id,
            run_name=f"{self._job.name}: {spec.name}",
            watch=self._watch,
            turns=self._turns,
            tags=tags | {f"axis.{axis}": label for axis, label in spec.axes.items()},
        )
        train.run(recipe, part)
        self._phase = "evaluates"
        report = self._evaluate()
        run_id = json.loads(read_bytes(f"{recipe.train.output}/job_state.json"))["mlflow_run_id"]
        point = measure_point(
            recipe,
            spec,
            report,
            hours=self._hours.hours,
            on_gpus=self._job.cluster.on_gpus,
            metrics=metrics_of(recipe.tracking, run_id),
            run_id=run_id,
        )
        numbers = report.numbers()
        folder.write_point(point, numbers)
        return {"state": "finished", "reason": "", "metric": numbers.get(self._job.metric)}

    @contextmanager
    def _watch(self, board: Any, num_steps: int, _grace_s: float) -> Iterator[Callable[[], str | None]]:
        """A `jobs.train.coordinator.Watch`: shows the group's board to `step`, and tells it what `cleanup` wishes."""
        self._num_steps = num_steps
        ended = threading.Event()

        def look() -> None:
            last_s = kept_s = time.monotonic()
            last = asked = False
            while not last:
                last = ended.wait(POLL_S)
                asked = self._look(board, time.monotonic() - last_s, asked=asked)
                last_s = time.monotonic()
                if last_s - kept_s >= KEEP_S:
                    self._hours.keep()
                    kept_s = last_s

        watcher = threading.Thread(target=look, name="progress", daemon=True)
        watcher.start()
        try:
            yield lambda: self._ends
        finally:
            ended.set()
            watcher.join()
            self._state, self._phase = replace(self._state, note=""), "hands its model to MLflow"

    def _look(self, board: Any, seconds: float, *, asked: bool) -> bool:
        """One look; returns whether the group has been asked to end."""
        state: BoardState = ray.get(board.read.remote())
        for text in state.notes[len(self._state.notes) :]:
            print(text)
        self._state = state
        if 0 < state.num_workers <= len(state.places):
            self._turns.placed()
            self._phase = "starts"
            self._hours.add(state.num_workers, seconds)
        if self._ends is not None and not asked:
            ray.get(board.end.remote(self._ends))
        return self._ends is not None

    def _evaluate(self) -> EvaluationReport:
        """On what the cluster has room for, at most as many processes as trained."""
        on_gpus = self._job.cluster.on_gpus
        need = {"CPU": 1.0, "GPU": 1.0} if on_gpus else {"CPU": 1.0}
        most = self._task.recipe.train.num_workers
        try:
            count = min(self._room(need), most)
            share = replace(self._job.cluster, num_cpus=count, num_gpus=count if on_gpus else 0)
            return evaluate.run(self._task.recipe, share, self._turns.placed)
        finally:
            self._turns.leave()

    def _room(self, need: Mapping[str, float]) -> int:
        """Wait for this trial's turn and for room; how much there is. A cluster that grows is asked to, after a while:
        it may have given its nodes back meanwhile.
        """
        alone_since_s, asked = None, False
        try:
            while True:
                if self._turns.mine():
                    if room := room_for(need, list_nodes()):
                        return room
                    alone_since_s = alone_since_s or time.monotonic()
                    if not asked and time.monotonic() - alone_since_s >= ASK_S:
                        reserve(need, 1)
                        asked = True
                if self._ends is not None:
                    raise Terminated(self._ends)
                time.sleep(POLL_S)
        finally:
            if asked:
                reserve(need, 0)


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:MOST_CHARS]}"
