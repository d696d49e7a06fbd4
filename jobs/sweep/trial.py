"""One trial of a sweep as Ray Tune runs it: an actor on the driver's node, whose thread does the trial's work.

Tune asks `step` how far it is. Where it shall end, by Tune's scheduler or because the whole sweep stops, the group
writes a checkpoint first.
"""

import os
import traceback
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import ray
from ray import tune

from jobs.sweep.trial_files import TrialLog
from jobs.sweep.trial_work import SweepJob, TrialTask, TrialWork, one_line

__all__ = ["SweepTrial", "early_reason"]

REPORT_S = 1.0  # a step takes so long at most: what Tune has to say comes between two of them


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
            config: ``trial`` is the id of a task that the coordinator has.
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
        self._task: TrialTask = ray.get(ray.get(job.coordinator.task.remote(config["trial"]))[0])
        self._log = TrialLog(job.folder.of_trial(self._task.spec.id, "log.txt"))
        self._work = TrialWork(job, self._task, self._log)
        self._reported: dict[str, Any] = {"step": -1}
        self._future = ThreadPoolExecutor(1, thread_name_prefix="trial").submit(self._work.run)

    def step(self) -> dict[str, Any]:
        """What is new after at most a second.

        Raises:
            BaserewardError: the trial failed in a way that another attempt may cure.
        """
        future: Future[dict[str, Any]] = self._future
        wait([future], timeout=REPORT_S)
        self._log.flush()
        if not future.done():
            return self._progress()
        if (error := future.exception()) is not None:
            self._log.text.write("".join(traceback.format_exception(error)))
            ray.get(self._job.coordinator.fail.remote(self._task.spec.id, one_line(error)))
        self._log.flush(now=True)
        return {**self._progress(), **future.result(), "done": True}

    def cleanup(self) -> None:
        """End the group after its next step, with a checkpoint, and wait for that."""
        if self._future.done():
            return
        stop_reason = ray.get(self._job.coordinator.stop_reason.remote())
        self._work.stop_reason = stop_reason or early_reason(self._reported, self._job.reduction)
        wait([self._future], timeout=self._task.recipe.train.stop_grace_s)
        self._log.flush(now=True)

    def _progress(self) -> dict[str, Any]:
        work, state = self._work, self._work.state
        report: dict[str, Any] = {
            "step": state.steps_done, "num_steps": work.num_steps, "note": state.note or work.phase
        }  # fmt: skip
        if self._reported["step"] < state.steps_done < work.num_steps and state.loss is not None:
            report["loss"] = state.loss  # only while there is something left to stop
        self._reported = report
        return report
