"""The adapter to Ray Train: one group of workers from its start to its end, and what each worker runs.

Whether and where there is another group after it is decided in `attempts`: a group here never restarts by itself.
"""

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

# Read by Ray Train when it is imported.
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray
from ray.train import RunConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import FailureConfig, ScalingConfig  # ray.train's own names are typed as the old ones

from data_pipeline.errors import BaserewardError, Unavailable
from jobs.tracking.metric_logger import MetricLogger, folder_of_node, log_artifact
from jobs.tracking.node_metrics import NodeMeter, node_section, sampled
from jobs.train.coordinator import Location, StopRequested
from rm_core.train_config.config import TrainConfig

__all__ = ["GroupJob", "needs_of_worker", "run_group"]


@dataclass(frozen=True, kw_only=True)
class GroupJob:
    """What every worker gets."""

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


def needs_of_worker(job: GroupJob) -> dict[str, float]:
    """The resources of a node that one worker takes."""
    needs: dict[str, float] = {"CPU": job.config.threads_per_worker}
    if job.use_gpu:
        needs["GPU"] = 1
    if job.config.group.accelerator is not None:
        needs[f"accelerator_type:{job.config.group.accelerator}"] = 0.001  # as Ray itself asks for a type
    return needs


def run_group(job: GroupJob, coordinator: Any, num_workers: int, avoid: Sequence[str], start_timeout_s: float) -> None:
    """Run one group of `num_workers` until it ends.

    Args:
        avoid: ids of nodes that get no worker.
        start_timeout_s: how long it may wait for its room.

    Raises:
        TrainingFailedError: a worker failed or died, or the group could not be placed.
    """
    os.environ["RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"] = str(start_timeout_s)  # handed on to the controller
    scaling = ScalingConfig(
        num_workers=num_workers,
        use_gpu=job.use_gpu,
        resources_per_worker=needs_of_worker(job),
        label_selector={"ray.io/node-id": f"!in({','.join(avoid)})"} if avoid else None,
    )
    # Nothing is written there: checkpoints are ours.
    with tempfile.TemporaryDirectory(prefix="basereward-ray-train-") as folder:
        _Trainer(
            _worker,
            train_loop_config={"job": job, "coordinator": coordinator},
            torch_config=TorchConfig(backend="nccl" if job.use_gpu else "gloo", timeout_s=_group_timeout_s(job.config)),
            scaling_config=scaling,
            run_config=RunConfig(
                name="group",
                storage_path=folder,
                failure_config=FailureConfig(max_failures=0, controller_failure_limit=0, max_preemption_failures=0),
            ),
        ).fit()


class _Trainer(TorchTrainer):
    """Ray Train's, which leaves Ctrl-C to the command line: its own handler ends the process with exit code 0 or 1."""

    def _register_sigint_handler(self, controller: Any) -> None:
        """Nothing is registered."""


def _group_timeout_s(config: TrainConfig) -> int:
    """Longer than the watchdog's: it says where the ranks are, which the process group does not know."""
    return int(max(1800, config.stall_timeout_s + 600))


def _worker(arguments: dict[str, Any]) -> None:
    """One worker: train, unless an earlier attempt failed for good."""
    job, coordinator = arguments["job"], arguments["coordinator"]
    context = ray.get_runtime_context()
    location = Location(node=context.get_node_id(), address=ray.util.get_node_ip_address())
    if ray.get(coordinator.begin.remote(get_context().get_world_rank(), location)) is not None:
        return
    from rm_core.training.trainer import StopTraining

    try:
        _train(job, coordinator)
    except StopTraining as stopped:
        coordinator.note.remote(f"stopped {stopped}, with a checkpoint")
    except Unavailable:
        raise  # another attempt may find the store answering again: `train.group.max_failures` counts it
    except BaserewardError as error:
        # A restart would meet it again: tell the driver, and let Ray end the other ranks.
        ray.get(coordinator.fail.remote(str(error)))
        raise


def _train(job: GroupJob, coordinator: Any) -> None:
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
def _node_watched(job: GroupJob, note: Callable[[str], None]) -> Iterator[Callable[[], None]]:
    """In the block, the first rank of a node logs how busy it is; yields what makes its points last, like a checkpoint.

    World rank 0 does the same for its node with the logger that it has.
    """
    if get_context().get_local_rank() != 0 or job.system_metrics_s <= 0:
        yield lambda: None
        return
    folder = folder_of_node(job.config.output, ray.util.get_node_ip_address())
    with MetricLogger(job.tracking_uri, job.run_id, folder=folder, report=note) as logger, _sampled(job, logger):
        yield logger.flush


def _sampled(job: GroupJob, logger: MetricLogger) -> AbstractContextManager[None]:
    section = node_section(ray.util.get_node_ip_address())
    meter = NodeMeter(job.config.output)
    return sampled(logger, meter, section, began_s=job.run_began_s, interval_s=job.system_metrics_s)
