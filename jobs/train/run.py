"""Run a prepared training: open a cluster, and let groups of workers train on it until the model is exported."""

from dataclasses import replace

import ray

from cluster.capacity import list_nodes
from cluster.session import ClusterInfo
from data_pipeline.errors import RecipeError
from jobs.recipe.schema import Device, Recipe, to_flat_params
from jobs.runtime.ray_session import open_cluster
from jobs.tracking.tracker import Tracker
from jobs.train.attempts import run_attempts
from jobs.train.coordinator import start_coordinator
from jobs.train.group import GroupSettings
from jobs.train.logged_run import LoggedRun
from jobs.train.prepare import Training
from jobs.train.progress import follow
from jobs.train.rank import TrainJob
from jobs.train.record import Attempt
from jobs.train.run_page import cluster_tags, gpu_type_of
from rm_core.model_folder.folder import is_complete

__all__ = ["check_capacity", "logged_run", "run_groups"]


def run_groups(training: Training) -> None:
    """Run one group of workers after the other until the model is exported; do nothing if it is exported already.

    Raises:
        UserError: the cluster is too small, or can't be reached.
        RunError: the training failed, more often than `train.group` allows.
        Terminated: the training was asked to stop, and stopped after a checkpoint.
    """
    if is_complete(training.export_folder):
        return
    config, parent, record = training.config, training.parent, training.record
    with open_cluster(training.recipe.cluster, opened=parent.cluster if parent else None) as cluster:
        check_capacity(config, cluster, "train")
        coordinator = start_coordinator()
        training.tracker.set_tags(cluster_tags(list_nodes()))
        job = group_job(training, cluster)

        def attempts() -> list[Attempt]:
            """The attempts of this driver, with the GPU type of the cluster, which may have grown for them."""
            nodes = list_nodes()
            record.cluster = cluster_tags(nodes)
            gpu_type = gpu_type_of(nodes, config.group.accelerator) if job.use_gpu else ""
            return [replace(one, gpu_type=gpu_type) for one in ray.get(coordinator.read.remote()).attempts]

        watch = parent.watch if parent else follow
        with record.updated(attempts), watch(coordinator, training.num_steps, config.stop_grace_s) as stop_reason:
            run_attempts(job, coordinator, training.num_steps, stop_reason, parent.queue if parent else None)


def group_job(training: Training, cluster: ClusterInfo) -> TrainJob:
    """What every worker gets; the exported model keeps the lineage as the record of its origin."""
    recipe, config, tracker = training.recipe, training.config, training.tracker
    asks_for_gpus = recipe.cluster.device is not Device.cpu and config.group.accelerator is not None
    return TrainJob(
        config=config,
        export_to=training.export_folder,
        lineage={
            "recipe": recipe.name,
            "data_fingerprint": training.data.manifest.fingerprint,
            "mlflow_run_id": tracker.run_id,
            "config": to_flat_params(recipe, ["train"]),
        },
        run=logged_run(tracker, recipe, config.output),
        use_gpu=cluster.on_gpus or asks_for_gpus,
    )


def logged_run(tracker: Tracker, recipe: Recipe, output: str) -> LoggedRun:
    """The run of a training in `output`, for its workers."""
    return LoggedRun(
        uri=tracker.uri, run_id=tracker.run_id, output=output, began_s=tracker.began_s,
        system_metrics_s=recipe.tracking.system_metrics_s,
    )  # fmt: skip


def check_capacity(config: GroupSettings, cluster: ClusterInfo, section: str) -> None:
    """Refuse workers for which a cluster of this machine alone has no room; another cluster may grow."""
    if not cluster.started_here:
        return
    if cluster.on_gpus and cluster.num_gpus < config.num_workers:
        raise RecipeError(
            f"{section}.num_workers={config.num_workers} needs as many GPUs, the cluster has {cluster.num_gpus}"
        )
    needed = config.num_workers * config.threads_per_worker
    if needed > cluster.num_cpus:
        raise RecipeError(
            f"{section}.num_workers={config.num_workers} with threads_per_worker={config.threads_per_worker} need "
            f"{needed} CPUs, the cluster has {cluster.num_cpus}: lower one of them, or set cluster.num_cpus={needed}"
        )
