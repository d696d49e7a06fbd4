"""`basereward train`: prepared shards + a model folder -> a trained, tracked, exported reward model.

    driver: check recipe and plan -> one MLflow run -> Ray Train groups until it is done -> log the exported model
    each worker: `rm_core.training.worker.train_rank`, with the driver's board and MLflow handed in as hooks

A finished training is left as it is; a killed one goes on from its last checkpoint, in the same MLflow run.
"""

from dataclasses import replace
from tempfile import TemporaryDirectory

from cluster.session import ClusterInfo
from data_pipeline.dataset import PreparedData
from data_pipeline.errors import RecipeError
from data_pipeline.inspection.page import page_of
from data_pipeline.manifest import Manifest
from data_pipeline.storage import join
from jobs.config import Recipe, to_flat_params, to_yaml
from jobs.metric_logger import send_kept
from jobs.paths import with_absolute_paths
from jobs.prepared import manifest_of
from jobs.ray_job import open_cluster
from jobs.source_version import source_tags
from jobs.terminal import say, table
from jobs.termination import was_terminated
from jobs.tracking import Tracker
from jobs.train_attempts import run_attempts
from jobs.train_board import follow, start_board
from jobs.train_group import GroupJob
from jobs.train_state import claim_output, is_logged
from rm_core.model.folder import is_complete, verify_folder
from rm_core.model.published import local_model
from rm_core.serving.served import Reading
from rm_core.training.check_config import check_train_config
from rm_core.training.config import TrainConfig
from rm_core.training.planning import make_plan

__all__ = ["export_folder", "run"]


def export_folder(config: TrainConfig) -> str:
    """Where the finished model of a training goes."""
    return join(config.output, "export")


def run(recipe: Recipe) -> None:
    """Train `recipe.train` into its output folder.

    Raises:
        UserError: a recipe value, the data or the model folder is wrong, or the cluster is too small.
        RunError: the training failed, more often than `train.group` allows.
    """
    config = with_absolute_paths(recipe.train, "model", "data", "output", "cache_dir")
    check_train_config(config)
    if is_complete(config.model):  # a folder of another make has no checksums to compare with
        verify_folder(config.model)
    config = replace(config, data=manifest_of(recipe, config.data))
    data = PreparedData.open(config.data)
    _, plan = make_plan(config, data)
    claim_output(config, data.manifest.fingerprint)
    exported = is_complete(export_folder(config))
    if exported and is_logged(config):
        say(f"{recipe.train.output} is finished already: nothing to do")
        return
    tracker = start_tracking(recipe, config, data)
    try:
        if not exported:
            train(recipe, config, data, tracker, plan.num_steps)
    except BaseException as error:
        killed = was_terminated() or not isinstance(error, Exception)
        tracker.finish("KILLED" if killed else "FAILED", reason_of(error))
        raise
    send_kept(tracker.uri, tracker.run_id, config.output, recipe.tracking.patience_s, say)
    log_model(recipe, config, data, tracker, plan.num_steps)
    tracker.finish()
    rows = [("optimiser steps", str(plan.num_steps)), ("model", export_folder(recipe.train))]
    table(f"Trained {recipe.name}", [*rows, ("MLflow run", tracker.run_id)])


def log_model(recipe: Recipe, config: TrainConfig, data: PreparedData, tracker: Tracker, num_steps: int) -> None:
    """Hand the export to MLflow with what `mlflow.pyfunc` needs to load it."""
    from jobs.served_model import add_served_files, one_model  # imports all of mlflow.pyfunc, some seconds

    folder = local_model(export_folder(config))
    served = one_model(recipe.name, folder, Reading.of_manifest(data.manifest.config))
    with TemporaryDirectory() as beside:
        add_served_files(beside, served)
        tracker.log_model(folder, name=recipe.name, step=num_steps, beside=beside)


def reason_of(error: BaseException) -> str:
    """Why a training ended, for its tag in MLflow."""
    if was_terminated():
        return "SIGTERM: a checkpoint was asked for; the same command goes on from it"
    return "Ctrl-C" if isinstance(error, KeyboardInterrupt) else f"{type(error).__name__}: {error}"


def train(recipe: Recipe, config: TrainConfig, data: PreparedData, tracker: Tracker, num_steps: int) -> None:
    """Run the group on the recipe's cluster until the model is exported."""
    with open_cluster(recipe.cluster) as cluster:
        check_capacity(config, cluster)
        board = start_board()
        job = GroupJob(
            config=config,
            export_to=export_folder(config),
            lineage=lineage(recipe, data, tracker),
            tracking_uri=tracker.uri,
            run_id=tracker.run_id,
            use_gpu=cluster.num_gpus > 0 or config.group.accelerator is not None,
        )
        with follow(board, num_steps, config.stop_grace_s) as terminated:
            run_attempts(job, board, num_steps, terminated)


def start_tracking(recipe: Recipe, config: TrainConfig, data: PreparedData) -> Tracker:
    """The training's MLflow run: made by the first attempt, taken up by later ones."""
    tracker = Tracker(recipe.tracking, run_dir=config.output, run_name=recipe.name)
    tracker.log_params(to_flat_params(recipe))
    tracker.log_text(to_yaml(recipe), "config/recipe.yaml")
    manifest = data.manifest
    tags = {"recipe": recipe.name, "data_fingerprint": manifest.fingerprint}
    tracker.set_tags(tags | source_tags(f"basereward train {recipe.name}"))
    tracker.describe(description(recipe, manifest))
    tracker.log_dataset(
        name=recipe.name,
        fingerprint=manifest.fingerprint,
        source=config.data,
        profile=profile(manifest),
        context="training",
    )
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


def description(recipe: Recipe, manifest: Manifest) -> str:
    """What the run's page says at its head, in Markdown."""
    config = recipe.train
    return (
        f"Reward model of recipe `{recipe.name}`: {manifest.counts.by_split.get('train', 0):,} Comparisons of "
        f"{', '.join(sorted(manifest.counts.by_source))} to train on; ZeRO stage {config.zero.stage}, "
        f"{config.precision}, {config.num_workers} workers, {config.global_batch} Comparisons a step.\n\n"
        f"Files: `{config.output}`. `basereward evaluate {recipe.name}` adds held-out numbers under `eval/`."
    )


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
    if cluster.num_gpus > 0 and cluster.num_gpus < config.num_workers:
        raise RecipeError(
            f"train.num_workers={config.num_workers} needs as many GPUs, the cluster has {cluster.num_gpus}"
        )
    needed = config.num_workers * config.threads_per_worker
    if needed > cluster.num_cpus:
        raise RecipeError(
            f"train.num_workers={config.num_workers} with threads_per_worker={config.threads_per_worker} need {needed} "
            f"CPUs, the cluster has {cluster.num_cpus}: lower one of them, or set cluster.num_cpus={needed}"
        )
