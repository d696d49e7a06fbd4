"""What each worker of a training runs: `train_rank`, whose metrics go to MLflow and the driver."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.train import get_context

from jobs.tracking.metric_logger import log_artifact
from jobs.train.coordinator import StopRequested
from jobs.train.logged_run import LoggedRun
from rm_core.train_config.config import TrainConfig
from rm_core.train_config.engine import workers_together

__all__ = ["TrainJob"]


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A training as a `GroupJob`."""

    config: TrainConfig
    export_to: str
    lineage: Mapping[str, object]
    run: LoggedRun
    use_gpu: bool
    section: str = "train"

    @property
    def together(self) -> int:
        """What the number of workers is always a multiple of."""
        return workers_together(self.config.zero)

    def work(self, coordinator: Any) -> None:
        """Train on this rank."""
        _train(self, coordinator)


def _train(job: TrainJob, coordinator: Any) -> None:
    from rm_core.evaluation.while_training import evaluation_sets
    from rm_core.training.trainer import Hooks
    from rm_core.training.worker import train_rank

    def note(text: str) -> None:
        coordinator.note.remote(text)

    def silent(*_: object) -> None:
        """World rank 0 speaks for all."""

    def artifact(path: str, folder: str) -> None:
        log_artifact(job.run.uri, job.run.run_id, path, folder, note)

    stop = StopRequested(coordinator)
    if get_context().get_world_rank() != 0:
        hooks = Hooks(begin=silent, log=silent, before_save=silent, stop=stop, note=note, artifact=artifact)
        with job.run.node_watched(note) as flush:
            hooks = replace(hooks, before_save=flush)
            train_rank(job.config, hooks, export_to=job.export_to, lineage=job.lineage, make_sets=evaluation_sets)
        return
    with job.run.logger(note) as logger:

        def log(steps_done: int, metrics: Mapping[str, float]) -> None:
            logger.log(steps_done, metrics)
            if "train/loss" not in metrics:
                coordinator.advance.remote(steps_done, "step left out", None)
                return
            note = f"loss {metrics['train/loss']:.3f}"
            if "train/accuracy" in metrics:  # there is none where people only saw ties
                note += f", accuracy {metrics['train/accuracy']:.3f}"
            note += f", {metrics['system/comparisons_per_s']:.0f} comparisons/s"
            coordinator.advance.remote(steps_done, note, metrics["train/loss"])

        def evaluated(steps_done: int, numbers: Mapping[str, float]) -> None:
            logger.log(steps_done, numbers)
            if "eval/accuracy" in numbers:
                coordinator.evaluated.remote(f"held-out accuracy {numbers['eval/accuracy']:.3f} at {steps_done}")

        hooks = Hooks(
            begin=lambda steps: ray.get(coordinator.started.remote(steps)),
            log=log,
            before_save=logger.flush,
            stop=stop,
            note=note,
            evaluated=evaluated,
            ended=lambda reason: ray.get(coordinator.end_early.remote(reason)),
            artifact=artifact,
        )
        train_rank(job.config, hooks, export_to=job.export_to, lineage=job.lineage, make_sets=evaluation_sets)
