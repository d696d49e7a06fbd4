"""The door to Ray Train: a group of workers that restarts from its last checkpoint, and what each worker runs."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Read by Ray Train when it is imported.
os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")

import ray
from ray.train import FailureConfig, RunConfig, ScalingConfig, get_context
from ray.train.torch import TorchConfig, TorchTrainer
from ray.train.v2.api.exceptions import TrainingFailedError, WorkerGroupError

from data_pipeline.errors import BaserewardError, RunError
from jobs.termination import Terminated
from jobs.tracking import MetricLogger
from jobs.train_board import StopAsked
from rm_core.training.config import TrainConfig

__all__ = ["GroupJob", "fit_group"]


@dataclass(frozen=True, kw_only=True)
class GroupJob:
    """What every worker is told."""

    config: TrainConfig
    export_to: str
    lineage: Mapping[str, object]
    tracking_uri: str
    run_id: str
    use_gpu: bool


def fit_group(job: GroupJob, board: Any, num_steps: int) -> None:
    """Run the group to its end on the open cluster.

    Raises:
        RunError: a rank met an error that a restart cannot cure, or the group died more than `max_failures` times.
        Terminated: it was asked to stop, and has done so after a checkpoint.
    """
    config = job.config
    trainer = TorchTrainer(
        _worker,
        train_loop_config={"job": job, "board": board},
        torch_config=TorchConfig(backend="nccl" if job.use_gpu else "gloo", timeout_s=_group_timeout_s(config)),
        scaling_config=ScalingConfig(
            num_workers=config.num_workers,
            use_gpu=job.use_gpu,
            resources_per_worker=None if job.use_gpu else {"CPU": config.threads_per_worker},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=config.output,
            failure_config=FailureConfig(max_failures=config.max_failures),
        ),
    )
    try:
        trainer.fit()
    except TrainingFailedError as error:
        raise RunError(f"training failed {_attempts(board)} times, last: {_cause(error)}") from error
    state = ray.get(board.read.remote())
    if state.failure is not None:
        raise RunError(state.failure)
    if state.stops and state.steps_done < num_steps:
        raise Terminated


def _group_timeout_s(config: TrainConfig) -> int:
    """Longer than the watchdog's: it says where the ranks are, which the process group does not know."""
    return int(max(1800, config.stall_timeout_s + 600))


def _attempts(board: Any) -> int:
    return max(1, len(ray.get(board.read.remote()).resumed_from))


def _cause(error: TrainingFailedError) -> str:
    """The last line of the first worker's traceback: what happened, in one line."""
    failures = error.worker_failures if isinstance(error, WorkerGroupError) else {}
    first = next(iter(failures.values()), error)
    return str(first).strip().splitlines()[-1]


def _worker(arguments: dict[str, Any]) -> None:
    """One worker: train, unless an earlier attempt failed for good."""
    job, board = arguments["job"], arguments["board"]
    if ray.get(board.begin.remote()) is not None:
        return
    from rm_core.training.trainer import StopTraining

    try:
        _train(job, board)
    except StopTraining as stopped:
        board.note.remote(f"training ended {stopped}, with a checkpoint")
    except BaserewardError as error:
        # A restart would meet it again: tell the driver, and let Ray end the other ranks.
        ray.get(board.fail.remote(str(error)))
        raise


def _train(job: GroupJob, board: Any) -> None:
    from rm_core.training.trainer import Hooks
    from rm_core.training.worker import train_rank

    def note(text: str) -> None:
        board.note.remote(text)

    def silent(*_: object) -> None:
        """World rank 0 speaks for all."""

    stop = StopAsked(board)
    if get_context().get_world_rank() != 0:
        hooks = Hooks(begin=silent, log=silent, before_save=silent, stop=stop, note=note)
        train_rank(job.config, hooks, export_to=job.export_to, lineage=job.lineage)
        return
    with MetricLogger(job.tracking_uri, job.run_id) as logger:

        def log(steps_done: int, metrics: Mapping[str, float]) -> None:
            logger.log(steps_done, metrics)
            note = f"loss {metrics['train/loss']:.3f}"
            if "train/accuracy" in metrics:  # there is none where people only saw ties
                note += f", accuracy {metrics['train/accuracy']:.3f}"
            board.advance.remote(steps_done, f"{note}, {metrics['system/comparisons_per_s']:.0f} comparisons/s")

        hooks = Hooks(
            begin=lambda steps: ray.get(board.started.remote(steps)),
            log=log,
            before_save=logger.flush,
            stop=stop,
            note=note,
        )
        train_rank(job.config, hooks, export_to=job.export_to, lineage=job.lineage)
