"""`basereward sweep`: one recipe in many variants -> trials, each trained and evaluated -> one report.

    driver: check every trial's recipe -> data and backbones that several read, once -> Ray Tune
    each trial, an actor: `basereward train`, `basereward evaluate`, its point     (`jobs.sweep_trial`)
    driver: states in the folder, one MLflow run with a child for each trial, the report

The same command again leaves finished trials as they are, continues those that were cut off, and tries failed ones
again. A changed recipe adds trials; those whose settings stay are kept.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

import ray

from cluster.capacity import list_nodes
from cluster.session import ClusterInfo
from data_pipeline.errors import RecipeError, RunError
from data_pipeline.manifest import Manifest
from data_pipeline.storage import absolute
from jobs.config import Recipe, to_flat_params, to_yaml
from jobs.paths import with_absolute_paths
from jobs.prepared import manifest_of
from jobs.ray_job import open_cluster
from jobs.source_version import source_tags
from jobs.sweep_axes import axes_of
from jobs.sweep_board import start_sweep_board
from jobs.sweep_config import check_sweep_config
from jobs.sweep_folder import SweepFolder, TrialState
from jobs.sweep_plan import show_plan, show_search
from jobs.sweep_progress import RESULTS, SweepProgress, results_table
from jobs.sweep_report import write_sweep_report
from jobs.sweep_shared import Placement, Variants, make_shared
from jobs.sweep_trial import SweepJob, TrialTask
from jobs.sweep_trials import TrialSpec, expand, fits
from jobs.sweep_tune import Search, Suggestions, run_trials
from jobs.terminal import columns, progress, say
from jobs.termination import Terminated, first_sigterm
from jobs.tracking import Tracker
from jobs.train import reason_of
from jobs.train_board import SIGTERM_REASON
from jobs.train_state import claim_output

__all__ = ["run"]

TUNE_ENV = {
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}  # of trials' processes, before they import Ray's
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
        sweep.show()
        return
    tracker = sweep.start_tracking()
    try:
        failed = sweep.run(tracker)
        write_sweep_report(folder.url, tracker)
    except BaseException as error:
        tracker.finish("FAILED" if isinstance(error, Exception) else "KILLED", reason_of(error))
        raise
    sweep.show_results()
    if failed:
        reason = f"{len(failed)} of {len(sweep.states)} trials failed: " + "; ".join(
            f"{state.spec.name} ({state.reason})" for state in failed
        )
        tracker.finish("FAILED", reason)
        raise RunError(f"{reason}; the same command tries them again")
    tracker.finish()


@dataclass(kw_only=True)
class Sweep:
    """One sweep: its trials, their recipes and states."""

    recipe: Recipe
    placement: Placement

    def __post_init__(self) -> None:
        self.folder = self.placement.folder
        self.states: dict[str, TrialState] = {}
        self.recipes: dict[str, Recipe] = {}
        self.search: Search | None = None

    def plan(self, known: dict[str, TrialState]) -> None:
        """Which trials there are, each with a checked recipe.

        Args:
            known: what the folder has of an earlier run.

        Raises:
            RecipeError: an axis or a trial's recipe is wrong.
        """
        config = self.recipe.sweep
        if config.method == "search":
            axes = axes_of(config.parameters, search=True)
            specs = [one.spec for one in known.values() if one.spec.seed == config.seeds[0] and fits(axes, one.spec)]
            self.search = Search(axes=axes, seed=config.seeds[0], mode=config.mode)
            self.search.left = max(0, config.num_samples - len(specs))
        else:
            specs = expand(config)
        for spec in specs:
            self.add(spec, known.get(spec.id))
        if self.search is not None:
            self.search.known |= {spec.id: spec for spec in specs}
            numbers = {spec.id: self.folder.numbers_of(spec.id) for spec in specs}
            self.search.values = {id_: one[config.metric] for id_, one in numbers.items() if config.metric in one}

    def add(self, spec: TrialSpec, known: TrialState | None = None) -> None:
        """One more trial."""
        recipe = self.placement.recipe_of(spec)
        self.recipes[spec.id] = recipe
        self.states[spec.id] = TrialState(spec=spec) if known is None else replace(known, spec=spec)

    def begin(self, spec: TrialSpec) -> None:
        """What an earlier run said of a trial that runs now is over."""
        self.states[spec.id] = replace(self.states[spec.id], state="pending", reason="")
        self.folder.write_state(self.states[spec.id])

    def to_do(self) -> list[TrialSpec]:
        """Trials that are to run: stopped ones stay so as long as there is early stopping."""
        over = {"finished"} if self.recipe.sweep.stop_early is None else {"finished", "stopped"}
        return [state.spec for state in self.states.values() if state.state not in over]

    def show(self) -> None:
        """The plan for the terminal."""
        if self.search is not None:
            show_search(self.recipe, self.search.axes, list(self.states.values()))
        else:
            show_plan(self.recipe, self.recipes, list(self.states.values()))

    def start_tracking(self) -> Tracker:
        """The sweep's own MLflow run: made by the first attempt, taken up by later ones."""
        recipe = self.recipe
        tracker = Tracker(recipe.tracking, run_dir=self.folder.url, run_name=recipe.name)
        tracker.log_params(to_flat_params(recipe))
        tracker.log_text(to_yaml(recipe), "config/recipe.yaml")
        tracker.set_tags(
            {"recipe": recipe.name, "sweep": recipe.name, **source_tags(f"basereward sweep {recipe.name}")}
        )
        tracker.describe(
            f"Sweep of recipe `{recipe.name}`, {recipe.sweep.method} over "
            f"{', '.join(f'`{axis}`' for axis in [*recipe.sweep.parameters, *recipe.sweep.points])}, seeds "
            f"{', '.join(map(str, recipe.sweep.seeds))}; ranked by `{recipe.sweep.metric}`. Each trial is a run below "
            f"this one.\n\nFiles: `{recipe.sweep.output}`."
        )
        self._tell(tracker)
        self.folder.write_sweep(recipe, [state.spec for state in self.states.values()], tracker.run_id)
        return tracker

    def run(self, tracker: Tracker) -> list[TrialState]:
        """Run what is not finished; returns the trials that failed for good.

        Raises:
            Terminated: SIGTERM came; every trial has ended after a checkpoint.
        """
        to_do = self.to_do()
        done = len(self.states) - len(to_do)
        picks = self.search.left if self.search else 0
        if not to_do and not picks:
            say(f"all {done} trials of {self.recipe.sweep.output} are finished already")
            return []
        with open_cluster(self.recipe.cluster, env=TUNE_ENV) as cluster:
            say(f"{len(to_do) + picks} trials to do, {done} done; Ray dashboard: {cluster.dashboard_url}")
            make_shared(self.placement, [self.recipes[spec.id] for spec in to_do] or [self.recipe])
            self._check_finished()
            try:
                listener = self._run_trials(tracker, cluster, to_do, picks)
            finally:
                self._tell(tracker)
        self.folder.write_sweep(self.recipe, [state.spec for state in self.states.values()], tracker.run_id)
        return listener.failures()

    def _run_trials(
        self, tracker: Tracker, cluster: ClusterInfo, to_do: Sequence[TrialSpec], picks: int
    ) -> SweepProgress:
        config, grace_s = self.recipe.sweep, self.recipe.train.stop_grace_s
        board = start_sweep_board()
        job = SweepJob(
            cluster=cluster,
            board=board,
            folder=self.folder,
            working_folder=os.getcwd(),
            name=self.recipe.name,
            parent_run_id=tracker.run_id,
            metric=config.metric,
            reduction=None if config.stop_early is None else config.stop_early.reduction,
        )

        def announce(spec: TrialSpec) -> None:
            task = ray.put(TrialTask(spec=spec, recipe=self.recipes[spec.id]))
            board.put_task.remote(spec.id, [task])  # in a list it is passed on unread: the board needs no torch
            self.begin(spec)

        def pick(spec: TrialSpec) -> None:
            self.add(spec)
            make_shared(self.placement, [self.recipes[spec.id]])
            announce(spec)

        for spec in to_do:
            announce(spec)
        recipes = [self.recipes[spec.id] for spec in to_do] + [self.recipe] * picks
        total = len(self.states) + picks
        with first_sigterm(grace_s + END_S) as terminated, progress(f"sweep {self.recipe.name}, trials", total) as bar:

            def ends() -> str | None:
                return SIGTERM_REASON if terminated() else None

            listener = SweepProgress(self.recipe, self.folder, self.recipes, self.states, tracker, ends)
            listener.show(bar)
            run_trials(
                config,
                job,
                Suggestions(to_do, self.search, pick),
                listener,
                ends,
                num_trials=len(to_do) + picks,
                at_once=config.max_concurrent or _room(cluster, recipes),
                grace_s=grace_s,
            )
            if terminated():
                raise Terminated(SIGTERM_REASON)
        return listener

    def _check_finished(self) -> None:
        """Refuse finished trials whose recipe has changed since: their points would stand beside others.

        Raises:
            RecipeError: names the first difference.
        """
        for state in self.states.values():
            if state.state != "finished":
                continue
            recipe = self.recipes[state.spec.id]
            config = with_absolute_paths(recipe.train, "model", "data", "output", "cache_dir")
            manifest = Manifest.read(manifest_of(recipe, config.data))
            try:
                claim_output(config, manifest.fingerprint)
            except RecipeError as error:
                raise RecipeError(
                    f"trial {state.spec.name!r} finished with other settings: {error}; or choose another sweep.output"
                ) from error

    def show_results(self) -> None:
        """The trials for the terminal, the best first."""
        table = results_table(self.recipe, self.folder, list(self.states.values()))
        head, _, *rows = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table.splitlines()]
        columns(f"Sweep {self.recipe.name}", head, rows)
        say(f"report: {self.recipe.sweep.output}/report")

    def _tell(self, tracker: Tracker) -> None:
        tracker.describe(results_table(self.recipe, self.folder, list(self.states.values())), RESULTS)


def _room(cluster: ClusterInfo, recipes: Sequence[Recipe]) -> int:
    """How many of these trials, the smallest first, the cluster holds at once; at least one."""
    resource = "GPU" if cluster.num_gpus > 0 else "CPU"
    left = sum(node.total.get(resource, 0) for node in list_nodes() if node.alive)
    count = 0
    for need in sorted(_workers(recipe, resource) for recipe in recipes):
        left -= need
        count += left >= 0
    return max(1, count)


def _workers(recipe: Recipe, resource: str) -> int:
    config = recipe.train
    return config.num_workers * (1 if resource == "GPU" else config.threads_per_worker)
