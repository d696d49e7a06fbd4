"""What each worker of a training runs: `train_rank`, whose metrics go to MLflow and the driver."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray.train import get_context

from jobs.tracking.metric_logger import MetricLogger, folder_of_node, log_artifact
from jobs.tracking.node_metrics import NodeMeter, node_section, sampled
from jobs.train.coordinator import StopRequested
from rm_core.train_config.config import TrainConfig

__all__ = ["TrainJob"]


@dataclass(frozen=True, kw_only=True)
class TrainJob:
    """A training as a `GroupJob`."""

    config: TrainConfig
    export_to: str
    lineage: Mapping[str, object]
    tracking_uri: str
    run_id: str
    run_began_s: float
    """Seconds since 1970."""
    system_metrics_s: float
    """Between two points of how busy each node is; 0: none."""
    use_gpu: bool
    section: str = "train"

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
        log_artifact(job.tracking_uri, job.run_id, path, folder, note)

    stop = StopRequested(coordinator)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")  # the logger itself tries again, and says so
    if get_context().get_world_rank() != 0:
        hooks = Hooks(begin=silent, log=silent, before_save=silent, stop=stop, note=note, artifact=artifact)
        with _node_watched(job, note) as flush:
            hooks = replace(hooks, before_save=flush)
            train_rank(job.config, hooks, export_to=job.export_to, lineage=job.lineage, make_sets=evaluation_sets)
        return
    with (
        MetricLogger(job.tracking_uri, job.run_id, folder=job.config.output, report=note) as logger,
        _sampled(job, logger),
    ):

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


@contextmanager
def _node_watched(job: TrainJob, note: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """In the block, the first rank of a node logs how busy it is; yields what makes its points last, like a checkpoint.

    World rank 0 does the same for its node with the logger that it has.
    """
    if get_context().get_local_rank() != 0 or job.system_metrics_s <= 0:
        yield lambda: None
        return
    folder = folder_of_node(job.config.output, ray.util.get_node_ip_address())
    with MetricLogger(job.tracking_uri, job.run_id, folder=folder, report=note) as logger, _sampled(job, logger):
        yield logger.flush


def _sampled(job: TrainJob, logger: MetricLogger) -> AbstractContextManager[None]:
    section = node_section(ray.util.get_node_ip_address())
    meter = NodeMeter(job.config.output)
    return sampled(logger, meter, section, began_s=job.run_began_s, interval_s=job.system_metrics_s)
