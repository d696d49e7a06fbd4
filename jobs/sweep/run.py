"""Run a prepared sweep: make shared data and models once, then let Ray Tune run the trials that are not finished."""

import os
from collections.abc import Sequence

import ray

from cluster.capacity import list_nodes
from cluster.session import ClusterInfo
from jobs.recipe.schema import Recipe
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.terminal import progress, say
from jobs.runtime.termination import Terminated, first_stop_signal, reason_to_stop
from jobs.sweep import TRIAL_ENV
from jobs.sweep.folder import TrialState
from jobs.sweep.placement import start_sweep_coordinator
from jobs.sweep.prepare import Sweep, write_state
from jobs.sweep.progress import SweepProgress
from jobs.sweep.search import Suggestions
from jobs.sweep.shared import make_shared
from jobs.sweep.trial_work import SweepJob, TrialTask
from jobs.sweep.trials import TrialSpec
from jobs.sweep.tune import run_trials
from jobs.tracking.tracker import Tracker

__all__ = ["run_left_trials"]

END_S = 30.0  # that Tune may need for ending trials, besides their own grace


def run_left_trials(sweep: Sweep, tracker: Tracker) -> list[TrialState]:
    """Run what is not finished; returns the trials that failed for good.

    Raises:
        Terminated: SIGTERM or Ctrl-C came; every trial has ended after a checkpoint.
    """
    to_do = sweep.to_do()
    picks = sweep.search.left if sweep.search else 0
    done = len(sweep.states) - len(to_do)
    for state in sweep.states.values():
        if state.state == "finished":
            sweep.folder.settle(state)
    if not to_do and not picks:
        say(f"all {done} trials of {sweep.recipe.sweep.output} are finished already")
        return []
    with open_cluster(sweep.recipe.cluster, env=TRIAL_ENV) as cluster:
        say(f"{len(to_do) + picks} trials to do, {done} done; Ray dashboard: {cluster.dashboard_url}")
        make_shared(sweep.trial_recipes, [sweep.recipes[spec.id] for spec in to_do] or [sweep.recipe])
        sweep.check_finished()
        try:
            run_on(cluster, sweep, tracker, to_do, picks)
        finally:
            write_state(sweep, tracker)
    return [state for state in sweep.states.values() if state.state == "failed"]


def run_on(cluster: ClusterInfo, sweep: Sweep, tracker: Tracker, to_do: Sequence[TrialSpec], picks: int) -> None:
    """Run `to_do`, and `picks` more that a search picks, to their ends.

    Raises:
        Terminated: as of `run_left_trials`.
    """
    config, grace_s = sweep.recipe.sweep, sweep.recipe.train.stop_grace_s
    job = sweep_job(cluster, sweep, tracker)

    def announce(spec: TrialSpec) -> None:
        task = ray.put(TrialTask(spec=spec, recipe=sweep.recipes[spec.id]))
        # In a list the reference is passed on unread: the coordinator needs no torch.
        job.coordinator.put_task.remote(spec.id, [task])
        sweep.begin(spec)

    def pick(spec: TrialSpec) -> None:
        sweep.add(spec)
        make_shared(sweep.trial_recipes, [sweep.recipes[spec.id]])
        announce(spec)

    for spec in to_do:
        announce(spec)
    sizes = [sweep.recipes[spec.id] for spec in to_do] + [sweep.recipe] * picks
    title, total = f"sweep {sweep.recipe.name}, trials", len(sweep.states) + picks
    with first_stop_signal(grace_s + END_S) as asked, progress(title, total) as advance:

        def stop_reason() -> str | None:
            return None if (came := asked()) is None else reason_to_stop(came)

        listener = SweepProgress(sweep.recipe, sweep.folder, sweep.recipes, sweep.states, tracker, stop_reason)
        listener.show(advance)
        run_trials(
            config,
            job,
            Suggestions(to_do, sweep.search, pick),
            listener,
            stop_reason,
            num_trials=len(to_do) + picks,
            at_once=config.max_concurrent or room_at_once(cluster, sizes),
            grace_s=grace_s,
        )
        if (reason := stop_reason()) is not None:
            listener.interrupted()
            raise Terminated(reason)


def sweep_job(cluster: ClusterInfo, sweep: Sweep, tracker: Tracker) -> SweepJob:
    """What every trial gets."""
    stop_early = sweep.recipe.sweep.stop_early
    return SweepJob(
        cluster=cluster,
        coordinator=start_sweep_coordinator(),
        folder=sweep.folder,
        working_folder=os.getcwd(),
        name=sweep.recipe.name,
        parent_run_id=tracker.run_id,
        metric=sweep.recipe.sweep.metric,
        reduction=None if stop_early is None else stop_early.reduction,
    )


def room_at_once(cluster: ClusterInfo, recipes: Sequence[Recipe]) -> int:
    """How many of these trials, the smallest first, the cluster holds at once; at least one."""
    resource = "GPU" if cluster.on_gpus else "CPU"
    left = sum(node.total.get(resource, 0) for node in list_nodes() if node.alive)
    count = 0
    for need in sorted(_workers(recipe, resource) for recipe in recipes):
        left -= need
        count += left >= 0
    return max(1, count)


def _workers(recipe: Recipe, resource: str) -> int:
    config = recipe.train
    return config.num_workers * (1 if resource == "GPU" else config.threads_per_worker)
