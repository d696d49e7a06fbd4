"""`basereward sweep`: one recipe in many variants -> trials, each trained and evaluated -> one report.

    driver: check every trial's recipe -> data and backbones that several read, once -> Ray Tune
    each trial, an actor: `basereward train`, `basereward evaluate`, its point     (`jobs.sweep.trial`)
    driver: states in the folder, one MLflow run with a child for each trial, the report

The same command again leaves finished trials as they are, continues those that were cut off, and tries failed ones
again. A changed recipe adds trials; those whose settings stay are kept.
"""

import os
from collections.abc import Sequence

import ray

from cluster.capacity import list_nodes
from cluster.session import ClusterInfo
from data_pipeline.errors import RunError
from data_pipeline.storage import absolute
from jobs.recipe.schema import Recipe, to_flat_params, to_yaml
from jobs.recipe.sweep_config import check_sweep_config
from jobs.runtime.ray_session import open_cluster
from jobs.runtime.source_version import source_tags
from jobs.runtime.terminal import columns, progress, say
from jobs.runtime.termination import Terminated, first_sigterm
from jobs.sweep.environment import TRIAL_ENV
from jobs.sweep.folder import SweepFolder, TrialState
from jobs.sweep.placement import start_sweep_board
from jobs.sweep.planned import show_plan, show_search
from jobs.sweep.progress import SweepProgress, results_rows, sweep_page
from jobs.sweep.report import write_sweep_report
from jobs.sweep.search import Suggestions
from jobs.sweep.shared import Placement, Variants, make_shared
from jobs.sweep.state import Sweep
from jobs.sweep.trial import SweepJob, TrialTask
from jobs.sweep.trials import TrialSpec
from jobs.sweep.tune import run_trials
from jobs.tracking.tracker import Tracker
from jobs.train.coordinator import SIGTERM_REASON
from jobs.train.train import end_run

__all__ = ["run"]

END_S = 30.0  # that Tune may need for ending trials, besides their own grace


def run(recipe: Recipe, *, variants: Variants, dry_run: bool) -> None:
    """Run the sweep of `recipe.sweep`, or, with `dry_run`, print what it would do.

    Args:
        variants: makes the recipe with other settings.

    Raises:
        UserError: the sweep, or the recipe of one of its trials, is wrong; nothing has been started.
        RunError: trials failed for good; the others are finished.
    """
    check_sweep_config(recipe.sweep)
    folder = SweepFolder(absolute(recipe.sweep.output))
    sweep = Sweep(recipe=recipe, placement=Placement(base=recipe, variants=variants, folder=folder))
    sweep.plan(folder.states())
    if dry_run:
        show(sweep)
        return
    tracker = start_tracking(sweep)
    try:
        failed = run_sweep(sweep, tracker)
        write_sweep_report(folder.url, tracker)
    except BaseException as error:
        end_run(tracker, error)
        raise
    show_results(sweep)
    if failed:
        names = "; ".join(f"{state.spec.name} ({state.reason})" for state in failed)
        reason = f"{len(failed)} of {len(sweep.states)} trials failed: {names}"
        tracker.finish("FAILED", reason)
        raise RunError(f"{reason}; the same command tries them again")
    tracker.finish()


def show(sweep: Sweep) -> None:
    """The plan for the terminal."""
    if sweep.search is not None:
        show_search(sweep.recipe, sweep.search.axes, list(sweep.states.values()))
    else:
        show_plan(sweep.recipe, sweep.recipes, list(sweep.states.values()))


def start_tracking(sweep: Sweep) -> Tracker:
    """The sweep's own MLflow run: made by the first attempt, taken up by later ones."""
    recipe = sweep.recipe
    tracker = Tracker(recipe.tracking, run_dir=sweep.folder.url, run_name=f"sweep {recipe.name}")
    tracker.log_params(to_flat_params(recipe))
    tracker.log_text(to_yaml(recipe), "config/recipe.yaml")
    tags = {"recipe": recipe.name, "sweep": recipe.name}
    tracker.set_tags(tags | source_tags(f"basereward sweep {recipe.name}"))
    tell(sweep, tracker)
    return tracker


def tell(sweep: Sweep, tracker: Tracker) -> None:
    """What the sweep is and has, for its folder and its MLflow run."""
    states = list(sweep.states.values())
    sweep.folder.write_sweep(sweep.recipe, [state.spec for state in states], tracker.run_id)
    tracker.write_page(sweep_page(sweep.recipe, sweep.folder, states), {})


def run_sweep(sweep: Sweep, tracker: Tracker) -> list[TrialState]:
    """Run what is not finished; returns the trials that failed for good.

    Raises:
        Terminated: SIGTERM came; every trial has ended after a checkpoint.
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
        make_shared(sweep.placement, [sweep.recipes[spec.id] for spec in to_do] or [sweep.recipe])
        sweep.check_finished()
        try:
            run_on(cluster, sweep, tracker, to_do, picks)
        finally:
            tell(sweep, tracker)
    return [state for state in sweep.states.values() if state.state == "failed"]


def run_on(cluster: ClusterInfo, sweep: Sweep, tracker: Tracker, to_do: Sequence[TrialSpec], picks: int) -> None:
    """Run `to_do`, and `picks` more that a search picks, to their ends.

    Raises:
        Terminated: as of `run_sweep`.
    """
    config, grace_s = sweep.recipe.sweep, sweep.recipe.train.stop_grace_s
    job = sweep_job(cluster, sweep, tracker)

    def announce(spec: TrialSpec) -> None:
        task = ray.put(TrialTask(spec=spec, recipe=sweep.recipes[spec.id]))
        job.board.put_task.remote(spec.id, [task])  # in a list it is passed on unread: the board needs no torch
        sweep.begin(spec)

    def pick(spec: TrialSpec) -> None:
        sweep.add(spec)
        make_shared(sweep.placement, [sweep.recipes[spec.id]])
        announce(spec)

    for spec in to_do:
        announce(spec)
    sizes = [sweep.recipes[spec.id] for spec in to_do] + [sweep.recipe] * picks
    title, total = f"sweep {sweep.recipe.name}, trials", len(sweep.states) + picks
    with first_sigterm(grace_s + END_S) as terminated, progress(title, total) as advance:

        def ends() -> str | None:
            return SIGTERM_REASON if terminated() else None

        listener = SweepProgress(sweep.recipe, sweep.folder, sweep.recipes, sweep.states, tracker, ends)
        listener.show(advance)
        run_trials(
            config,
            job,
            Suggestions(to_do, sweep.search, pick),
            listener,
            ends,
            num_trials=len(to_do) + picks,
            at_once=config.max_concurrent or room_at_once(cluster, sizes),
            grace_s=grace_s,
        )
        if terminated():
            listener.interrupted()
            raise Terminated(SIGTERM_REASON)


def sweep_job(cluster: ClusterInfo, sweep: Sweep, tracker: Tracker) -> SweepJob:
    """What every trial is told."""
    stop_early = sweep.recipe.sweep.stop_early
    return SweepJob(
        cluster=cluster,
        board=start_sweep_board(),
        folder=sweep.folder,
        working_folder=os.getcwd(),
        name=sweep.recipe.name,
        parent_run_id=tracker.run_id,
        metric=sweep.recipe.sweep.metric,
        reduction=None if stop_early is None else stop_early.reduction,
    )


def show_results(sweep: Sweep) -> None:
    """The trials for the terminal, the best first."""
    head, rows = results_rows(sweep.recipe, sweep.folder, list(sweep.states.values()))
    state = head.index("state")
    for row in rows:
        row[state] = row[state].partition(":")[0]  # why it ended stands above, where it did
    columns(f"Sweep {sweep.recipe.name}", head, rows)
    say(f"report: {sweep.recipe.sweep.output}/report")


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
