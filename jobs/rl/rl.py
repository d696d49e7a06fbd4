"""`basereward rl`: prompts + a policy + a reward model -> a policy that is rewarded more, in one MLflow run.

A finished one is left as it is; a killed one goes on from its last checkpoint, in the same MLflow run.
"""

from dataclasses import replace
from functools import partial

import ray

from cluster.capacity import list_nodes
from jobs.recipe.schema import Device, Recipe, to_flat_params
from jobs.rl.prepare import Learning, prepare, store_of
from jobs.rl.publish import publish
from jobs.rl.rank import RlJob
from jobs.rl.sampling import sample_answers
from jobs.runtime.ends import told_of_the_end
from jobs.runtime.leases import writes
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import say
from jobs.serve.applications import reading_of_recipe
from jobs.train.attempts import run_attempts
from jobs.train.coordinator import start_coordinator
from jobs.train.progress import follow
from jobs.train.publish import publish_failure
from jobs.train.record import Attempt
from jobs.train.run import check_capacity, logged_run
from jobs.train.run_page import cluster_tags, gpu_type_of
from rm_core.model_folder.folder import is_complete

__all__ = ["run"]


def run(recipe: Recipe, *, sample: bool = False) -> None:
    """Train `recipe.rl.policy`, or with `sample` only write its answers.

    Raises:
        UserError: a recipe value, the prompts or a model is wrong, or the cluster is too small.
        RunError: it failed, more often than `rl.group` allows.
    """
    if sample:
        sample_answers(recipe)
        return
    _train(recipe)


@writes("rl.output")
def _train(recipe: Recipe) -> None:
    learning = prepare(recipe)
    if learning is None:
        say(f"{recipe.rl.output} is finished already: nothing to do")
        return
    try:
        with told_of_the_end(partial(publish_failure, learning)):
            _run_groups(learning)
        publish(learning)
    except BaseException as error:
        publish_failure(learning, error)
        raise


def _run_groups(learning: Learning) -> None:
    """Groups of workers until the policy is exported."""
    if is_complete(learning.export_folder):
        return
    recipe, config, record = learning.recipe, learning.config, learning.record
    with open_cluster(recipe.cluster) as cluster:
        check_capacity(config, cluster, "rl")
        asks_for_gpus = recipe.cluster.device is not Device.cpu and config.group.accelerator is not None
        job = _job(learning, use_gpu=cluster.on_gpus or asks_for_gpus)
        coordinator = start_coordinator()
        learning.tracker.set_tags(cluster_tags(list_nodes()))

        def attempts() -> list[Attempt]:
            gpu_type = gpu_type_of(list_nodes(), config.group.accelerator) if job.use_gpu else ""
            return [replace(one, gpu_type=gpu_type) for one in ray.get(coordinator.read.remote()).attempts]

        with record.updated(attempts), follow(coordinator, learning.all_steps, config.stop_grace_s) as stop_reason:
            run_attempts(job, coordinator, learning.all_steps, stop_reason)


def _job(learning: Learning, *, use_gpu: bool) -> RlJob:
    recipe, tracker = learning.recipe, learning.tracker
    return RlJob(
        config=learning.config,
        source=learning.source,
        fingerprint=learning.fingerprint,
        lineage={
            "recipe": recipe.name,
            "prompts_fingerprint": learning.fingerprint,
            "mlflow_run_id": tracker.run_id,
            "config": to_flat_params(recipe, ["rl"]),
        },
        store=store_of(recipe),
        reading=reading_of_recipe(recipe),
        run=logged_run(tracker, recipe, learning.config.output),
        use_gpu=use_gpu,
        all_steps=learning.all_steps,
    )
