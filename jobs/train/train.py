"""`basereward train`: prepared shards + a model folder -> a trained, tracked, exported reward model.

    driver: check recipe and plan -> one MLflow run -> Ray Train groups until it is done -> log the exported model
    each worker: `rm_core.training.worker.train_rank`, with the driver's board and MLflow handed in as hooks

A finished training is left as it is; a killed one goes on from its last checkpoint, in the same MLflow run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from tempfile import TemporaryDirectory

import ray

from cluster.capacity import list_nodes
from cluster.session import ClusterInfo
from data_pipeline.dataset.manifest import Manifest
from data_pipeline.dataset.prepared import PreparedData
from data_pipeline.errors import RecipeError
from data_pipeline.storage import is_local, join, read_bytes
from jobs.pages.data_page import page_of
from jobs.pages.plots.run import CURVES, curves_png
from jobs.preprocess.manifests import manifest_of
from jobs.recipe.paths import with_absolute_paths
from jobs.recipe.schema import Device, Recipe, to_flat_params, to_yaml
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.source_version import source_tags
from jobs.runtime.terminal import say, table
from jobs.runtime.termination import Terminated, was_terminated
from jobs.tracking.metric_logger import send_all_kept
from jobs.tracking.tracker import UNREACHABLE, Tracker
from jobs.train.attempts import Turns, run_attempts
from jobs.train.coordinator import SIGTERM_REASON, Watch, follow, start_board
from jobs.train.group import GroupJob
from jobs.train.record import Attempt, TrainingRecord
from jobs.train.run_page import RunPage, cluster_tags, gpu_type_of
from jobs.train.state import claim_output, is_logged
from rm_core.model_folder.folder import is_complete, verify_folder
from rm_core.model_folder.remote import local_model
from rm_core.serving.served_model import Reading
from rm_core.train_config.check import check_train_config
from rm_core.train_config.config import TrainConfig
from rm_core.training.data_plan import make_plan

__all__ = ["PartOf", "end_run", "export_folder", "run"]


@dataclass(frozen=True, kw_only=True)
class PartOf:
    """What a larger job hands to a training that is part of it."""

    cluster: ClusterInfo
    """The cluster, which the job has open."""
    parent_run_id: str
    """The job's MLflow run."""
    run_name: str
    """Of the training's own MLflow run."""
    watch: Watch
    """Looks at the training in place of a progress bar."""
    turns: Turns
    """With the job's other trainings."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """More tags of the training's MLflow run."""


def export_folder(config: TrainConfig) -> str:
    """Where the finished model of a training goes."""
    return join(config.output, "export")


def run(recipe: Recipe, part: PartOf | None = None) -> None:
    """Train `recipe.train` into its output folder.

    Args:
        part: of which larger job it is a part; None: of none.

    Raises:
        UserError: a recipe value, the data or the model folder is wrong, or the cluster is too small.
        RunError: the training failed, more often than `train.group` allows.
    """
    config = with_absolute_paths(recipe.train, "model", "data", "output", "cache_dir")
    check_train_config(config)
    # A folder of another make has no checksums to compare with; a remote one is checked by each node that copies it.
    if is_local(config.model) and is_complete(config.model):
        verify_folder(config.model)
    config = replace(config, data=manifest_of(recipe, config.data))
    data = PreparedData.open(config.data)
    _, plan = make_plan(config, data)
    claim_output(config, data.manifest.fingerprint)
    exported = is_complete(export_folder(config))
    if exported and is_logged(config):
        say(f"{recipe.train.output} is finished already: nothing to do")
        return
    tracker = start_tracking(recipe, config, data, part)
    record = TrainingRecord(config.output)
    page = RunPage(
        recipe=recipe, manifest=data.manifest, output=config.output, num_steps=plan.num_steps,
        attempts=record.attempts, metrics={}, state="running",
    )  # fmt: skip
    tracker.write_page(page.parts(), page.tags())
    try:
        if not exported:
            train(recipe, config, data, tracker, plan.num_steps, record, part)
    except BaseException as error:
        reason = reason_of(error)
        record.end(reason)
        page = replace(page, attempts=record.attempts, state=state_of(error), reason=reason)
        end_early(tracker, page, record.cluster)
        raise
    send_all_kept(tracker.uri, tracker.run_id, config.output, recipe.tracking.patience_s, say)
    record.end("finished")
    log_model(recipe, config, data, tracker, plan.num_steps)
    tracker.log_bytes(curves_png(recipe.name, {name: tracker.points(name) for name in CURVES}), "plots/training.png")
    page = replace(page, attempts=record.attempts, metrics=tracker.metrics(), state="finished")
    tracker.write_page(page.parts(), page.tags() | record.cluster)
    tracker.finish()
    rows = [("optimiser steps", str(plan.num_steps)), ("model", export_folder(recipe.train))]
    table(f"Trained {recipe.name}", [*rows, ("MLflow run", tracker.run_id)])


def end_early(tracker: Tracker, page: RunPage, cluster: dict[str, str]) -> None:
    """Mark the run as failed or killed; where MLflow doesn't answer, the training's own error is what counts."""
    try:
        page = replace(page, metrics=tracker.metrics())
        tracker.write_page(page.parts(), page.tags() | cluster)
        tracker.finish(page.state.upper(), page.reason)
    except UNREACHABLE as error:
        say(f"MLflow at {tracker.uri} could not be told that the run is {page.state}: {str(error).splitlines()[0]}")


def end_run(tracker: Tracker, error: BaseException) -> None:
    """Say in MLflow that `error` ended a run that is no training's."""
    tracker.finish(state_of(error).upper(), reason_of(error))


def state_of(error: BaseException) -> str:
    """How MLflow calls a run that `error` ended: killed or failed."""
    return "killed" if was_terminated() or not isinstance(error, Exception) else "failed"


def log_model(recipe: Recipe, config: TrainConfig, data: PreparedData, tracker: Tracker, num_steps: int) -> None:
    """Hand the export to MLflow with what `mlflow.pyfunc` needs to load it."""
    from jobs.registry.pyfunc_model import add_served_files, one_model  # imports all of mlflow.pyfunc, some seconds

    folder = local_model(export_folder(config))
    served = one_model(recipe.name, folder, Reading.of_manifest(data.manifest.config))
    with TemporaryDirectory() as beside:
        add_served_files(beside, served)
        tracker.log_model(folder, name=recipe.name, step=num_steps, beside=beside)


def reason_of(error: BaseException) -> str:
    """Why a training ended, for its tag in MLflow."""
    if isinstance(error, Terminated) and str(error):
        return str(error)
    if was_terminated():
        return SIGTERM_REASON
    return "Ctrl-C" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"


def train(
    recipe: Recipe,
    config: TrainConfig,
    data: PreparedData,
    tracker: Tracker,
    num_steps: int,
    record: TrainingRecord,
    part: PartOf | None,
) -> None:
    """Run the group on the recipe's cluster until the model is exported."""
    with open_cluster(recipe.cluster, opened=part.cluster if part else None) as cluster:
        check_capacity(config, cluster)
        board = start_board()
        tracker.set_tags(cluster_tags(list_nodes()))
        job = GroupJob(
            config=config,
            export_to=export_folder(config),
            lineage=lineage(recipe, data, tracker),
            tracking_uri=tracker.uri,
            run_id=tracker.run_id,
            run_began_s=tracker.began_s,
            system_metrics_s=recipe.tracking.system_metrics_s,
            use_gpu=cluster.on_gpus
            or (recipe.cluster.device is not Device.cpu and config.group.accelerator is not None),
        )

        def look() -> list[Attempt]:
            """The attempts, and the cluster as it has grown for them."""
            nodes = list_nodes()
            record.cluster = cluster_tags(nodes)
            gpu_type = gpu_type_of(nodes, config.group.accelerator) if job.use_gpu else ""
            return [replace(one, gpu_type=gpu_type) for one in ray.get(board.read.remote()).attempts]

        watch = follow if part is None else part.watch
        with record.kept(look), watch(board, num_steps, config.stop_grace_s) as ends:
            run_attempts(job, board, num_steps, ends, part.turns if part else None)


def start_tracking(recipe: Recipe, config: TrainConfig, data: PreparedData, part: PartOf | None) -> Tracker:
    """The training's MLflow run: made by the first attempt, taken up by later ones."""
    tracker = Tracker(
        recipe.tracking,
        run_dir=config.output,
        run_name=part.run_name if part else recipe.name,
        parent=part.parent_run_id if part else None,
    )
    tracker.log_params(to_flat_params(recipe))
    tracker.log_text(to_yaml(recipe), "config/recipe.yaml")
    manifest = data.manifest
    tags = {"recipe": recipe.name, "data_fingerprint": manifest.fingerprint, "data_manifest": manifest.address}
    tags |= source_tags(f"basereward train {recipe.name}") | dict(part.tags if part else {})
    tracker.set_tags(tags)
    tracker.log_dataset(
        name=recipe.name,
        fingerprint=manifest.fingerprint,
        source=config.data,
        profile=profile(manifest),
        context="training",
    )
    tracker.log_text_once("data/manifest.json", lambda: read_bytes(config.data).decode())
    tracker.log_text_once("data/data.html", lambda: page_of(config.data))
    return tracker


def profile(manifest: Manifest) -> dict[str, object]:
    """What MLflow shows of the data beside its name: counts, and what an epoch shows of every source."""
    counts = manifest.counts
    return {
        "address": manifest.address,
        "seen": counts.seen,
        "kept": counts.kept,
        "refused": counts.refused_by_reason,
        "splits": counts.by_split,
        "epoch": {name: source.shown for name, source in counts.by_source.items()},
    }


def lineage(recipe: Recipe, data: PreparedData, tracker: Tracker) -> dict[str, object]:
    """What the exported model says of its origin."""
    return {
        "recipe": recipe.name,
        "data_fingerprint": data.manifest.fingerprint,
        "mlflow_run_id": tracker.run_id,
        "config": to_flat_params(recipe, ["train"]),
    }


def check_capacity(config: TrainConfig, cluster: ClusterInfo) -> None:
    """Refuse a group for which a cluster of this machine alone has no room; another cluster may grow."""
    if not cluster.started_here:
        return
    if cluster.on_gpus and cluster.num_gpus < config.num_workers:
        raise RecipeError(
            f"train.num_workers={config.num_workers} needs as many GPUs, the cluster has {cluster.num_gpus}"
        )
    needed = config.num_workers * config.threads_per_worker
    if needed > cluster.num_cpus:
        raise RecipeError(
            f"train.num_workers={config.num_workers} with threads_per_worker={config.threads_per_worker} need {needed} "
            f"CPUs, the cluster has {cluster.num_cpus}: lower one of them, or set cluster.num_cpus={needed}"
        )
