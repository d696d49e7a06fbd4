"""The adapter to Ray Train: one group of workers from its start to its end; what they run is the job's own.

Whether and where there is another group after it is decided in `attempts`: a group here never restarts by itself.
"""

import os
import tempfile
from collections.abc import Sequence
from typing import Any, Protocol

# Read by Ray Train when it is imported.
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray
from ray.train import RunConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.config import FailureConfig, ScalingConfig  # ray.train's own names are typed as the old ones

from data_pipeline.errors import BaserewardError, Unavailable
from jobs.train.coordinator import Location
from rm_core.train_config.config import WorkerGroupConfig

__all__ = ["GroupJob", "GroupSettings", "needs_of_worker", "run_group", "workers_in"]


class GroupSettings(Protocol):
    """What of a section of the recipe decides the group: that of ``train`` or ``rl``."""

    num_workers: int
    threads_per_worker: int
    stall_timeout_s: float
    group: WorkerGroupConfig


class GroupJob(Protocol):
    """What every worker gets, and runs; it is sent to other machines."""

    @property
    def section(self) -> str:
        """The recipe's section, for messages."""

    @property
    def config(self) -> GroupSettings:
        """That section."""

    @property
    def use_gpu(self) -> bool:
        """Whether each worker takes a GPU."""

    @property
    def together(self) -> int:
        """What the number of workers is always a multiple of."""

    def work(self, coordinator: Any) -> None:
        """One worker's part, in an initialised process group.

        Raises:
            StopTraining: it was asked to stop, and has, with a checkpoint.
            Unavailable: another attempt may find a store or server answering again.
            BaserewardError: an error that a restart cannot cure.
        """


def needs_of_worker(job: GroupJob) -> dict[str, float]:
    """The resources of a node that one worker takes."""
    needs: dict[str, float] = {"CPU": job.config.threads_per_worker}
    if job.use_gpu:
        needs["GPU"] = 1
    if job.config.group.accelerator is not None:
        needs[f"accelerator_type:{job.config.group.accelerator}"] = 0.001  # as Ray itself asks for a type
    return needs


def workers_in(job: GroupJob, room: int) -> int:
    """The largest group that starts where there is room for so many workers."""
    return min(room, job.config.num_workers) // job.together * job.together


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


def _group_timeout_s(config: GroupSettings) -> int:
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
        job.work(coordinator)
    except StopTraining as stopped:
        coordinator.note.remote(f"stopped {stopped}, with a checkpoint")
    except Unavailable:
        raise  # another attempt may find the store answering again: `train.group.max_failures` counts it
    except BaserewardError as error:
        # A restart would meet it again: tell the driver, and let Ray end the other ranks.
        ray.get(coordinator.fail.remote(str(error)))
        raise
